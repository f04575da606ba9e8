"""Takes rights on an object of a domain controller away, while it runs or not.

usage: deny.py SMB.CONF DN ACE

ACE is in SDDL, with the account to whom it applies as sAMAccountName in place of its SID, as in
"(D;;RP;bf9679c0-0de6-11d0-a285-00aa003049e2;;svc-idcsync)", which denies reading "member".
"""

import sys

import ldb
from samba import param
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_unpack
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

conf, dn, ace = sys.argv[1:]
lp = param.LoadParm()
lp.load(conf)
db = SamDB(url=lp.private_path("sam.ldb"), session_info=system_session(), lp=lp)
rights, account = ace.rstrip(")").rsplit(";", 1)
found = db.search(db.domain_dn(), ldb.SCOPE_SUBTREE, f"(sAMAccountName={account})", ["objectSid"])
sid = ndr_unpack(security.dom_sid, found[0]["objectSid"][0])
# It goes before all others.
SDUtils(db).dacl_add_ace(dn, f"{rights};{sid})")
