//! Writes a made-up company as LDIF, for trials and measurements:
//!
//! ```text
//! cargo run --example company -- --people 20000 --groups 2000 --flavour openldap > company.ldif
//! ```
#![allow(clippy::expect_used, reason = "a generator for tests, where a panic is the report")]

use std::io::{self, BufWriter, Write};

use clap::{Parser, ValueEnum};

#[path = "../tests/support/company/mod.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod company;

use company::{Company, Flavour};

#[derive(Parser)]
#[command(about = "Writes a made-up company as LDIF")]
struct Arguments {
    #[arg(long, default_value_t = 2_000)]
    people: usize,
    #[arg(long, default_value_t = 200)]
    groups: usize,
    /// Direct memberships of people in teams, about [default: five per person].
    #[arg(long)]
    memberships: Option<usize>,
    /// Direct members of the group "Everyone" [default: four of five people, 20,000 at most].
    #[arg(long)]
    large_group: Option<usize>,
    /// All teams lie below the container of the scope, not every other one.
    #[arg(long)]
    every_tree: bool,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value = "corp.example.com")]
    domain: String,
    #[arg(long, value_enum, default_value_t = Schema::Ad)]
    flavour: Schema,
}

#[derive(Clone, Copy, ValueEnum)]
enum Schema {
    Ad,
    Openldap,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut company = Company::new(arguments.people, arguments.groups);
    company.seed = arguments.seed;
    company.every_tree = arguments.every_tree;
    company.domain = arguments.domain;
    if let Some(memberships) = arguments.memberships {
        company.memberships = memberships;
    }
    if let Some(members) = arguments.large_group {
        company.large_group = members;
    }
    let flavour = match arguments.flavour {
        Schema::Ad => Flavour::ActiveDirectory,
        Schema::Openldap => Flavour::OpenLdap,
    };
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    company.write_ldif(flavour, &mut out)?;
    out.flush()
}
