"""Loads LDIF into the database of a domain controller that is not running, in one transaction.

usage: load.py SMB.CONF FILE.ldif PRIMARY.tsv

Records are added as they are, a given objectGUID is kept; records with "changetype: modify" are applied. PRIMARY.tsv
has lines "user DN <TAB> group DN": the group becomes the user's primary group.
"""

import sys

import ldb
from samba import param
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_unpack
from samba.samdb import SamDB

conf, ldif, primary = sys.argv[1:]
lp = param.LoadParm()
lp.load(conf)
# In batch mode the indices are written once, at the end.
db = SamDB(
    url=lp.private_path("sam.ldb"),
    session_info=system_session(),
    lp=lp,
    options=["batch_mode:1"],
)
db.transaction_start()
for change, message in db.parse_ldif(open(ldif, encoding="utf-8").read()):
    if change == ldb.CHANGETYPE_MODIFY:
        db.modify(message)
    else:
        # "relax" allows an objectGUID to be given.
        db.add(message, controls=["relax:0"])

# The directory wants a primary group's user to be a plain member first, and then takes that membership away.
groups = {}
for line in open(primary, encoding="utf-8"):
    user, group = line.rstrip("\n").split("\t")
    groups.setdefault(group, []).append(user)
for group, users in groups.items():
    found = db.search(group, ldb.SCOPE_BASE, attrs=["objectSid"])[0]
    rid = ndr_unpack(security.dom_sid, found["objectSid"][0]).split()[1]
    message = ldb.Message(ldb.Dn(db, group))
    message["member"] = ldb.MessageElement(users, ldb.FLAG_MOD_ADD, "member")
    db.modify(message)
    for user in users:
        message = ldb.Message(ldb.Dn(db, user))
        message["rid"] = ldb.MessageElement(str(rid), ldb.FLAG_MOD_REPLACE, "primaryGroupID")
        db.modify(message)
db.transaction_commit()
