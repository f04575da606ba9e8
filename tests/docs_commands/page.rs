//! The blocks of a page, and what their comments say.

#[derive(Debug)]
pub struct Page {
    /// Those that are run, written or left out, in the page's order.
    pub blocks: Vec<Block>,
    /// What is wrong with the page itself.
    pub wrong: Vec<String>,
}

#[derive(Debug)]
pub struct Block {
    /// Of its fence, from 1.
    pub line: usize,
    pub how: How,
    /// Without the indentation of the fence.
    pub lines: Vec<String>,
}

#[derive(Debug)]
pub enum How {
    Run {
        after: Option<String>,
        background: bool,
        /// The command in the background is ended once it has printed this.
        ends: Option<String>,
    },
    NotRun,
    File {
        name: String,
        after: Option<String>,
    },
}

#[derive(Debug)]
pub struct Command {
    pub line: usize,
    pub text: String,
    pub output: Vec<String>,
}

impl Page {
    pub fn parse(text: &str) -> Self {
        let mut page = Self { blocks: Vec::new(), wrong: Vec::new() };
        let mut comment: Option<&str> = None;
        let mut lines = text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let bare = line.trim_start();
            if let Some(inner) = bare.strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->")) {
                comment = Some(inner.trim());
                continue;
            }
            let Some(kind) = bare.strip_prefix("```") else {
                comment = None;
                continue;
            };
            let indent = line.len() - bare.len();
            let inner: Vec<String> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| line.trim() != "```")
                .map(|line| line.get(indent..).unwrap_or_default().to_owned())
                .collect();
            match how(kind, comment.take()) {
                Ok(Some(how)) => page.blocks.push(Block { line: at + 1, how, lines: inner }),
                Ok(None) => {}
                Err(why) => page.wrong.push(format!("{}: {why}", at + 1)),
            }
        }
        page
    }
}

fn how(kind: &str, comment: Option<&str>) -> Result<Option<How>, String> {
    if matches!(kind, "sh" | "bash" | "shell") {
        return Err(format!("a block of commands is `console`, not `{kind}`"));
    }
    let said = |word: &str| comment.and_then(|c| c.strip_prefix(word)).map(str::trim);
    if kind != "console" {
        let file = said("file:").map(|rest| match rest.split_once(", after ") {
            Some((name, other)) => How::File { name: name.to_owned(), after: Some(other.to_owned()) },
            None => How::File { name: rest.to_owned(), after: None },
        });
        return Ok(file);
    }
    if let Some(why) = said("not run:") {
        return if why.is_empty() {
            Err("`not run:` without a reason".to_owned())
        } else {
            Ok(Some(How::NotRun))
        };
    }
    let Some(rest) = said("run:") else {
        return Err("no comment `<!-- run: quickstart -->` or `<!-- not run: WHY -->` before it".to_owned());
    };
    let (rest, after) = match rest.split_once(", after:") {
        Some((rest, commands)) => (rest, Some(commands.trim().to_owned())),
        None => (rest, None),
    };
    let ends = rest.strip_prefix("quickstart, background ends after ").map(str::to_owned);
    let background = rest == "quickstart, background";
    if rest != "quickstart" && !background && ends.is_none() {
        return Err(format!("`run: {rest}` is not known"));
    }
    Ok(Some(How::Run { after, background, ends }))
}

impl Block {
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Each begins with `$ ` and goes on in the next line after a backslash; what follows is its output.
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let goes_on = commands.last().is_some_and(|c| c.output.is_empty() && c.text.ends_with('\\'));
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (_, Some(last)) if goes_on => last.text.push_str(&format!("\n{line}")),
                (Some(text), _) => {
                    commands.push(Command {
                        line: self.line + at + 1,
                        text: text.to_owned(),
                        output: Vec::new(),
                    });
                }
                (None, Some(last)) => last.output.push(line.clone()),
                (None, None) => panic!("line {}: output before the first command", self.line + at + 1),
            }
        }
        commands
    }
}

#[test]
fn a_block_says_how_it_is_run() {
    let parse =
        |comment: &str| Page::parse(&format!("text\n\n{comment}\n```console\n$ a \\\n  b\nc\n$ d\n```\n"));
    for good in [
        "<!-- run: quickstart -->",
        "<!-- not run: needs a cluster -->",
        "<!-- run: quickstart, background -->",
    ] {
        let page = parse(good);
        assert_eq!((page.blocks.len(), page.wrong.len()), (1, 0), "{good}");
        let commands = page.blocks[0].commands();
        assert_eq!(commands.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), ["a \\\n  b", "d"]);
        assert_eq!((commands[0].output.as_slice(), commands[1].line), (&["c".to_owned()][..], 8));
    }
    for bad in ["", "<!-- not run: -->", "<!-- run: elsewhere -->", "<!-- run: quickstart -->\ntext"] {
        assert_eq!(parse(bad).wrong.len(), 1, "{bad}");
    }
}
