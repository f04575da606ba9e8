#!/usr/bin/python3
"""Writes testdata/quickstart.ldif and testdata/export.ldifde.ldif: a small company, as two tools would export it from
Active Directory. With --check, only says whether the files are what would be written.
"""

import base64
import pathlib
import sys
import textwrap
import uuid

BASE = "DC=corp,DC=example,DC=com"
SID = (21, 1004336348, 1177238915, 682003330)
HOME = pathlib.Path(__file__).resolve().parent.parent / "testdata"

PEOPLE_OU = f"OU=People,{BASE}"
SWISS_OU = f"OU=Zürich\\, Genève,{BASE}"
SALES_OU = f"OU=Sales \\+ Marketing,{BASE}"
GROUPS_OU = f"OU=Groups,{BASE}"
LEFT_OU = f"OU=Left,{BASE}"

# Account, RDN (as in a DN), OU, given name, surname, display name, mail?, and what else is special.
PEOPLE = [
    ("alice", "Alice Adams", PEOPLE_OU, "Alice", "Adams", "Alice Adams", True, {"title": "Platform Engineer"}),
    # Its objectGUID happens to be valid UTF-8: still bytes.
    ("bruno", "Bruno Brunner", PEOPLE_OU, "Bruno", "Brunner", "Bruno Brunner", True, {"guid": b"just 16 letters!"}),
    ("chloe", "Chloé Lefèvre", SWISS_OU, "Chloé", "Lefèvre", "Chloé Lefèvre", True, {"title": "Analyste"}),
    ("david", "David O'Brien", PEOPLE_OU, "David", "O'Brien", "David O'Brien", True, {"initials": "J"}),
    ("elsa", "Eriksson\\, Elsa", PEOPLE_OU, "Elsa", "Eriksson", "Eriksson, Elsa", True, {}),
    ("francois", "François Nuñez", SWISS_OU, "François", "Nuñez", "François Nuñez", True, {}),
    ("grace", "Grace Kim", PEOPLE_OU, "Grace", "Kim", "Grace Kim", False, {}),
    ("henrik", "Henrik Ødegård", SALES_OU, "Henrik", "Ødegård", "Henrik Ødegård", False, {}),
    ("ines", "Inês Silva", SALES_OU, "Inês", "Silva", "Inês Silva", True, {}),
    ("juergen", "Müller-Lüdenscheid\\, Jürgen", SWISS_OU, "Jürgen", "Müller-Lüdenscheid", "Jürgen Müller", True, {}),
    ("kasia", "Kasia Świątek", PEOPLE_OU, "Kasia", "Świątek", "Kasia Świątek", True, {}),
    ("liam", "Liam Walsh", LEFT_OU, "Liam", "Walsh", "Liam Walsh", True, {"control": 514}),
    ("maya", "Maya", PEOPLE_OU, "Maya", None, "Maya", True, {}),
    ("ngoc", "Ngọc Trần", PEOPLE_OU, "Ngọc", "Trần", "Ngọc Trần", True, {}),
    ("olga", "Ольга Иванова", PEOPLE_OU, "Ольга", "Иванова", "Ольга Иванова", True, {}),
    ("pavel", "Pavel Novák", PEOPLE_OU, "Pavel", "Novák", "Pavel Novák", True, {"principal": None}),
    ("quentin", "Quentin Roy", SWISS_OU, "Quentin", "Roy", "Quentin Roy", True, {"primary": "Contractors"}),
    ("renee", "Renée Weiß", SWISS_OU, "Renée", "Weiß", "Renée Weiß", True, {"control": 66048}),
    ("soren", "Søren Jensen", SALES_OU, "Søren", "Jensen", "Søren Jensen", True, {}),
    ("tomas", 'Tomás \\"Tom\\" Vega', SALES_OU, "Tomás", "Vega", 'Tomás "Tom" Vega', True, {}),
]

# Account, RDN, kind, members (accounts of people, groups and others), description.
UNIVERSAL, GLOBAL, DISTRIBUTION = -2147483640, -2147483646, 8
GROUPS = [
    ("AWS-Admins", "AWS-Admins", UNIVERSAL, ["alice", "elsa", "svc-deploy$"], "Administrators of the AWS accounts"),
    ("AWS-Developers", "AWS-Developers", UNIVERSAL, ["grace", "Backend"], "All who build things"),
    # A container: it is read through, and not written itself.
    (
        "AWS-All-Users",
        "AWS-All-Users",
        UNIVERSAL,
        ["Finance-Zürich", "Contractors", "News", "soren", "liam"],
        "Everybody who may use AWS",
    ),
    # A ring of three: all of them have the same people in the end.
    ("Backend", "Backend", UNIVERSAL, ["bruno", "david", "maya", "WS-0042$", "Platform"], None),
    ("Platform", "Platform", UNIVERSAL, ["alice", "kasia", "Frontend"], None),
    ("Frontend", "Frontend", UNIVERSAL, ["ngoc", "olga", "pavel", "pat", "Backend"], None),
    ("Finance-Zürich", "Finance\\, Zürich", GLOBAL, ["chloe", "francois", "juergen", "henrik"], "Büro Zürich, Genève"),
    # Its one member has it as primary group, so it has no "member".
    ("Contractors", "Contractors", GLOBAL, [], "External people"),
    ("News", "News & Events", DISTRIBUTION, ["ines", "tomas", "renee"], "A mailing list that anyone may join"),
]


def sid(rid=None):
    parts = SID if rid is None else (*SID, rid)
    return bytes([1, len(parts)]) + (5).to_bytes(6, "big") + b"".join(p.to_bytes(4, "little") for p in parts)


def guid(name):
    """A made-up GUID that stays the same."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.corp.example.com").bytes_le


def plain(rdn):
    """The value that is escaped in an RDN."""
    return rdn.replace("\\", "")


class Company:
    def __init__(self):
        self.entries = []
        self.number = 8000
        self.rid = 1100
        self.dns = {name: f"CN={rdn},{GROUPS_OU}" for name, rdn, *_ in GROUPS}
        self.dns |= {account: f"CN={rdn},{unit}" for account, rdn, unit, *_ in PEOPLE}
        self.dns["svc-deploy$"] = f"CN=svc-deploy,CN=Managed Service Accounts,{BASE}"
        self.dns["WS-0042$"] = f"CN=WS-0042,CN=Computers,{BASE}"
        self.dns["pat"] = f"CN=Partner\\, Pat,{PEOPLE_OU}"
        self.rids = {"Contractors": 1190}
        self.fill()

    def add(self, dn, name, classes, attributes, category, security=True):
        self.number += 1
        self.rid += 1
        values = [("objectClass", value) for value in ["top", *classes]]
        first = plain(dn.split("=", 1)[1]) if dn == BASE else self.rdn_value(dn)
        values += [({"OU": "ou", "DC": "dc"}.get(dn[:2], "cn"), first)]
        values += [(key, value) for key, value in attributes if value is not None and key != "objectGUID"]
        given = dict(attributes).get("objectGUID") or guid(name)
        values += [
            ("distinguishedName", dn),
            ("instanceType", 4),
            ("whenCreated", f"20{19 + self.number % 7}0{1 + self.number % 9}1409{10 + self.number % 50}00.0Z"),
            ("whenChanged", "20261102081500.0Z"),
            ("uSNCreated", self.number),
            ("uSNChanged", self.number + 4000),
            ("name", first),
            ("objectGUID", given),
        ]
        if security:
            values.append(("objectSid", sid(self.rids.get(name, self.rid))))
            values.append(("sAMAccountName", name))
        values.append(("objectCategory", f"CN={category},CN=Schema,CN=Configuration,{BASE}"))
        self.entries.append((dn, values))

    @staticmethod
    def rdn_value(dn):
        """The unescaped value of the first RDN."""
        value, letters = "", iter(dn.split("=", 1)[1])
        for letter in letters:
            if letter == ",":
                break
            value += next(letters) if letter == "\\" else letter
        return value

    def fill(self):
        domain = [("objectSid", sid()), ("fSMORoleOwner", f"CN=NTDS Settings,CN=DC1,CN=Servers,{BASE}")]
        self.entries.append((BASE, [
            ("objectClass", "top"), ("objectClass", "domain"), ("objectClass", "domainDNS"),
            ("distinguishedName", BASE), ("dc", "corp"), ("whenCreated", "20190101080000.0Z"),
            ("objectGUID", guid("domain")), *domain,
        ]))
        for dn in [PEOPLE_OU, SWISS_OU, SALES_OU, GROUPS_OU, LEFT_OU]:
            self.add(dn, dn, ["organizationalUnit"], [], "Organizational-Unit", security=False)
        self.rids["Domain Users"] = 513
        self.dns["Domain Users"] = f"CN=Domain Users,CN=Users,{BASE}"
        self.add(self.dns["Domain Users"], "Domain Users", ["group"],
                 [("description", "All domain users"), ("groupType", GLOBAL), ("sAMAccountType", 268435456)], "Group")
        for name, _, kind, members, description in GROUPS:
            attributes = [("description", description)] + [("member", self.dns[member]) for member in members]
            attributes += self.member_of(name) + [("groupType", kind)]
            attributes += [("sAMAccountType", 268435457 if kind == DISTRIBUTION else 268435456)]
            self.add(self.dns[name], name, ["group"], attributes, "Group")
        for account, _, _, given, surname, display, has_mail, more in PEOPLE:
            mail = f"{account}@example.com" if has_mail else None
            self.add(self.dns[account], account, ["person", "organizationalPerson", "user"], [
                ("sn", surname), ("title", more.get("title")), ("givenName", given),
                ("initials", more.get("initials")), ("displayName", display), *self.member_of(account),
                ("proxyAddresses", mail and f"SMTP:{mail}"),
                ("proxyAddresses", mail and f"smtp:{account}@corp.example.com"),
                ("userAccountControl", more.get("control", 512)), ("pwdLastSet", 133400000000000000),
                ("primaryGroupID", self.rids[more.get("primary", "Domain Users")]),
                ("accountExpires", 9223372036854775807), ("sAMAccountType", 805306368),
                ("userPrincipalName", more.get("principal", f"{account}@corp.example.com")),
                ("mail", mail), ("objectGUID", more.get("guid")),
            ], "Person")
        computer = [("primaryGroupID", 515), ("userAccountControl", 4096), ("sAMAccountType", 805306369)]
        user = ["person", "organizationalPerson", "user", "computer"]
        self.add(self.dns["WS-0042$"], "WS-0042$", user, [
            *self.member_of("WS-0042$"), *computer, ("dNSHostName", "ws-0042.corp.example.com"),
        ], "Computer")
        self.add(self.dns["svc-deploy$"], "svc-deploy$", [*user, "msDS-GroupManagedServiceAccount"], [
            ("displayName", "Deployments"), *self.member_of("svc-deploy$"), *computer,
            ("msDS-ManagedPasswordInterval", 30),
        ], "ms-DS-Group-Managed-Service-Account")
        self.add(self.dns["pat"], "pat", ["person", "organizationalPerson", "contact"], [
            ("sn", "Partner"), ("givenName", "Pat"), ("displayName", "Partner, Pat"), *self.member_of("pat"),
            ("mail", "pat@partner.example.net"),
        ], "Person", security=False)

    def member_of(self, name):
        return [("memberOf", self.dns[group]) for group, _, _, members, _ in GROUPS if name in members]


def line(name, value, width, end):
    raw = value if isinstance(value, bytes) else str(value).encode()
    safe = all(0x20 <= byte < 0x7F for byte in raw) and raw[:1] not in (b" ", b":", b"<") and raw[-1:] != b" "
    binary = name in ("objectGUID", "objectSid")
    text = f"{name}: {raw.decode()}" if safe and not binary else f"{name}:: {base64.b64encode(raw).decode()}"
    return folded(text, width, end)


def folded(text, width, end):
    parts = [text[:width]] + [text[at : at + width - 1] for at in range(width, len(text), width - 1)]
    return f"{end} ".join(parts) + end


def comment(dn):
    """The friendly name of an entry, as ldapsearch prints it above each: folded like everything else."""
    parts, labels, current, letters = [], [], "", iter(dn + ",")
    for letter in letters:
        if letter == "\\":
            current += f"\\{ord(next(letters)):02X}"
        elif letter == ",":
            kind, value = current.split("=", 1)
            (labels if kind == "DC" else parts).append(value)
            current = ""
        else:
            current += letter if letter.isascii() else "".join(f"\\{byte:02X}" for byte in letter.encode())
    return folded("# " + ", ".join([*parts, ".".join(labels)]), 78, "\n")


def ldapsearch(entries):
    text = textwrap.dedent(f"""\
        # extended LDIF
        #
        # LDAPv3
        # base <{BASE}> with scope subtree
        # filter: (objectClass=*)
        # requesting: ALL
        #

        """)
    for dn, values in entries:
        text += comment(dn) + line("dn", dn, 78, "\n")
        text += "".join(line(name, value, 78, "\n") for name, value in values) + "\n"
    references = ["ForestDnsZones.corp", "DomainDnsZones.corp", "corp"]
    for host, part in zip(references, ["DC=ForestDnsZones,", "DC=DomainDnsZones,", "CN=Configuration,"]):
        text += "# search reference\n" + line("ref", f"ldap://{host}.example.com/{part}{BASE}", 78, "\n") + "\n"
    text += "# search result\nsearch: 2\nresult: 0 Success\n\n"
    text += f"# numResponses: {len(entries) + len(references) + 1}\n# numEntries: {len(entries)}\n"
    return text + f"# numReferences: {len(references)}\n"


def ldifde(entries):
    """The tool of Windows: carriage returns, a change type, and nothing that says where the export ends."""
    text = ""
    for dn, values in entries:
        text += line("dn", dn, 80, "\r\n") + "changetype: add\r\n"
        text += "".join(line(name, value, 80, "\r\n") for name, value in values) + "\r\n"
    return text


def main():
    entries = Company().entries
    small = [e for e in entries if "Zürich" in e[0] or any(f"CN={n}," in e[0] for n in ("Contractors", "Domain Users"))]
    files = {
        HOME / "quickstart.ldif": ldapsearch(entries).encode(),
        HOME / "export.ldifde.ldif": ldifde(small).encode(),
    }
    for path, content in files.items():
        if "--check" in sys.argv[1:]:
            if path.read_bytes() != content:
                sys.exit(f"{path.name} is not what {pathlib.Path(__file__).name} writes")
        else:
            path.write_bytes(content)


main()
