//! What things are called.

pub const FIRST: &[&str] = &[
    "Alice",
    "Bruno",
    "Chloé",
    "David",
    "Elif",
    "François",
    "Grace",
    "Henrik",
    "Inês",
    "Jürgen",
    "Katarzyna",
    "Liam",
    "Maëlle",
    "Ngọc",
    "Olga",
    "Paweł",
    "Quentin",
    "Renée",
    "Søren",
    "Tomáš",
    "Ursula",
    "Víctor",
    "Wim",
    "Ximena",
    "Yara",
    "Zoë",
    "Åsa",
    "Þóra",
    "Łukasz",
    "Anne-Marie",
    "Jean Luc",
    "Siân",
];

pub const LAST: &[&str] = &[
    "Abbott",
    "Brunner",
    "Çelik",
    "D'Angelo",
    "Eriksson",
    "Fernández",
    "Grün",
    "Hübner",
    "Iglesias",
    "Jensen",
    "Kowalski",
    "Lefèvre",
    "Müller-Lüdenscheid",
    "Nuñez",
    "O'Brien",
    "Petrović",
    "Quispe",
    "Rossi",
    "Świątek",
    "Tanaka",
    "Unger",
    "van der Berg",
    "Weiß",
    "Xu",
    "Yılmaz",
    "Zimmermann",
    "Ødegård",
    "Ångström",
    "de la Cruz",
    "Núñez Seixas",
    "Smith",
    "Jones",
];

pub const TITLES: &[&str] =
    &["Engineer", "Analyst", "Rädler", "Head of \"Things\"", "Buyer", "Assistant, Nights", "Lead"];

pub const DEPARTMENTS: &[&str] = &["Finance", "R&D", "Opérations", "Sales", "IT", "Legal; Compliance"];

/// OUs, raw: what must be escaped in a DN is escaped where DNs are made.
pub const UNITS: &[&str] = &[
    "People",
    "Zürich, Genève",
    "R&D \"Labs\"",
    "Sales + Marketing",
    "Ops; Nights <EU>",
    "#1 Support",
    "Straße \\ Ost",
    "A=B",
];

/// Teams: how the common name begins, and how the sAMAccountName does, which allows fewer characters.
pub const TEAMS: &[(&str, &str)] = &[
    ("Team", "Team"),
    ("Project", "Project"),
    ("Équipe", "Équipe"),
    ("Zürich, Genève", "Zürich-Genève"),
    ("R&D \"Beta\"", "R&D Beta"),
    ("C# + Rust", "C# Rust"),
    ("Größe (ß)", "Größe (ß)"),
    ("Nights; Days", "Nights-Days"),
];

/// A name for accounts and addresses: ASCII letters, in lower case.
pub fn plain(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .flat_map(|letter| match letter {
            'a'..='z' => vec![letter],
            'ä' | 'å' | 'á' | 'â' | 'ą' => vec!['a'],
            'ç' | 'ć' | 'č' => vec!['c'],
            'é' | 'è' | 'ê' | 'ë' | 'ę' => vec!['e'],
            'í' | 'ï' | 'ı' => vec!['i'],
            'ł' => vec!['l'],
            'ñ' | 'ń' => vec!['n'],
            'ó' | 'ö' | 'ø' | 'ọ' => vec!['o'],
            'ś' | 'š' => vec!['s'],
            'ß' => vec!['s', 's'],
            'þ' => vec!['t', 'h'],
            'ü' | 'ú' => vec!['u'],
            _ => vec![],
        })
        .collect()
}
