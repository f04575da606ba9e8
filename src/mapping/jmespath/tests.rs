use proptest::prelude::*;

use super::*;

fn refused(source: &str) -> ExpressionError {
    JmesPath::compile(source).unwrap_err()
}

fn needed(source: &str) -> (bool, Vec<String>) {
    let needed = JmesPath::compile(source).unwrap().attributes();
    (needed.all, needed.names.into_iter().collect())
}

#[test]
fn the_attributes_that_an_expression_looks_up_are_found() {
    assert_eq!(needed("title || 'Employee'"), (false, vec!["title".to_owned()]));
    assert_eq!(
        needed("proxyAddresses[?type == 'SMTP' && contains(@.value, 'x')].value | [0]"),
        (false, vec!["proxyaddresses".to_owned()])
    );
    assert_eq!(
        needed("join(' ', [givenName, SN][?@]) || lower(\"ms-DS-ConsistencyGuid\")").1,
        ["givenname", "ms-ds-consistencyguid", "sn"]
    );
    assert_eq!(needed("{a: mail, b: associatedDomain}.a").1, ["mail"]);
    assert_eq!(needed("sort_by(proxyaddresses, &value)[0].type").1, ["proxyaddresses"]);
    assert!(!needed("othermailbox[?contains(@, 'x')]").0);
    for whole in ["@", "*", "keys(@)", "values(@)[0]", "[mail, @]", "@.mail", "!@", "*.a", "mail || @"] {
        assert!(needed(whole).0, "{whole}");
    }
}

#[test]
fn errors_point_at_the_place() {
    let e = refused("mail ||");
    assert_eq!((e.offset, e.len), (7, 0));
    assert_eq!(e.message, "a value, name or function must stand here, not the end");
    let e = refused("title || ~");
    assert_eq!((e.offset, e.len, e.message.as_str()), (9, 1, "`~` means nothing here"));
    let e = refused("lower(mail");
    assert_eq!((e.offset, e.len), (10, 0));
    let e = refused("title || 'ä' || lowr(mail)");
    assert_eq!((e.offset, e.len, e.message.as_str()), (17, 4, "there is no function `lowr`"));
    assert!(e.help.unwrap().contains("lower"));
    let e = refused("replace(mail, 'a')");
    assert_eq!((e.offset, e.len, e.message.as_str()), (0, 7, "`replace` takes 3 argument(s), not 2"));
    let e = refused("'abc");
    assert_eq!((e.offset, e.message.contains("not closed")), (0, true));
    let e = refused("${mail}");
    assert_eq!(e.offset, 0);
    assert!(e.help.unwrap().contains("templates"));
    assert!(refused("`abc`").message.contains("JSON"));
    assert_eq!(refused("").offset, 0);
    assert!(refused("mail\n ~").offset == 6);
}

#[test]
fn text_in_double_quotes_is_caught_where_it_is_compared() {
    let e = refused("proxyaddresses[?type == \"SMTP\"].value");
    assert_eq!((e.offset, e.len), (24, 6));
    assert_eq!(e.help.as_deref(), Some("write 'SMTP' for text; without quotes it would be an attribute"));
    assert!(JmesPath::compile("\"ms-DS-x\" == 'a'").is_ok());
    assert!(JmesPath::compile("\"mail\"").is_ok());
}

#[test]
fn slices_that_would_overflow_are_refused() {
    assert!(JmesPath::compile("memberof[::2]").is_ok());
    assert!(refused("memberof[::2147483647]").message.contains("slice"));
    assert!(refused("memberof[::0]").message.contains("slice"));
    assert!(refused("memberof[::-2147483647]").message.contains("slice"));
}

/// Each of these would take a parser or an interpreter without bounds to the end of its stack.
#[test]
fn deep_expressions_are_refused_or_fit_on_a_small_stack() {
    let texts = [
        "(".repeat(1000),
        format!("{}a{}", "(".repeat(500), ")".repeat(500)),
        format!("{}a", "!".repeat(1000)),
        format!("{}a", "& ".repeat(500)),
        format!("a{}", ".a".repeat(500)),
        format!("*{}", ".*".repeat(500)),
        format!("a{}", "[0]".repeat(300)),
        format!("a{}", "[*]".repeat(300)),
        format!("a{}", "[]".repeat(500)),
        format!("a{}", "|a".repeat(500)),
        format!("a{}", "||a".repeat(300)),
        format!("a{}", "==a".repeat(300)),
        format!("{}a{}", "a[?".repeat(200), "]".repeat(200)),
        format!("{}a{}", "{a:".repeat(200), "}".repeat(200)),
        format!("`{}`", "[".repeat(900)),
    ];
    for text in &texts {
        // As given, cut to what the bounds allow, and cut further.
        for operators in [1000, 95, 60, 38, 18] {
            let mut cut = text.clone();
            while cut.chars().filter(|c| "([{.*!&|=<>,".contains(*c)).count() > operators {
                cut.pop();
            }
            for suffix in ["", "a"] {
                let cut = format!("{cut}{suffix}");
                let run = move || {
                    if let Ok(compiled) = JmesPath::compile(&cut) {
                        let copy = compiled.clone();
                        copy.attributes();
                        let mut context = Context::new("", &RUNTIME);
                        jmespath::interpret(&Rcvar::new(Variable::Null), &copy.ast, &mut context).is_ok()
                    } else {
                        false
                    }
                };
                std::thread::Builder::new().stack_size(1536 * 1024).spawn(run).unwrap().join().unwrap();
            }
        }
    }
    assert!(refused(&"(".repeat(1000)).message.contains("brackets"));
    assert!(refused(&"(".repeat(1000)).offset == MAX_NESTING);
    assert!(refused(&format!("a{}", ".a".repeat(60))).message.contains("steps"));
    assert!(JmesPath::compile(&format!("a{}", ".a".repeat(30))).is_ok());
    // Brackets in text do not count.
    assert!(JmesPath::compile(&format!("replace(cn, '{}', '')", "(".repeat(200))).is_ok());
    assert!(JmesPath::compile(r"replace(cn, '\'(((((((((((((((((((((((((((((((((((', '')").is_ok());
}

proptest! {
    #[test]
    fn no_text_makes_the_compiler_panic(text in any::<String>()) {
        if text.len() <= 1024 {
            let _ = JmesPath::compile(&text);
        }
    }

    #[test]
    fn no_text_of_its_own_alphabet_makes_it_panic(
        text in "[a-c@*.\\[\\](){}|&!=<>,:?'\"`\\\\0-9äß\n -]{0,60}"
    ) {
        if let Err(e) = JmesPath::compile(&text) {
            prop_assert!(text.is_char_boundary(e.offset));
            prop_assert!(e.offset + e.len <= text.len() && text.is_char_boundary(e.offset + e.len));
        }
    }
}
