//! The entries of a small domain as LDIF, for [`super::Samba::start_ldif`].

pub fn unit(name: &str, base: &str) -> String {
    format!("dn: OU={name},{base}\nobjectClass: organizationalUnit\nou: {name}\n\n")
}

/// `userN`, enabled, with everything that a user of the target needs.
pub fn user(dn: &str, number: usize, domain: &str) -> String {
    format!(
        "dn: {dn}\nobjectClass: user\nsAMAccountName: user{number}\nuserAccountControl: 512\n\
         userPrincipalName: user{number}@{domain}\ngivenName: User\nsn: Number {number}\n\
         displayName: User {number}\nmail: user{number}@{domain}\n\n"
    )
}

/// A universal security group.
pub fn group(dn: &str, name: &str) -> String {
    format!("dn: {dn}\nobjectClass: group\nsAMAccountName: {name}\ngroupType: -2147483640\n\n")
}

/// Once the members are there.
pub fn members(group: &str, members: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let list: String = members.into_iter().map(|member| format!("member: {}\n", member.as_ref())).collect();
    format!("dn: {group}\nchangetype: modify\nadd: member\n{list}-\n\n")
}
