"""Provisions an Active Directory domain, offline, where an existing smb.conf says.

usage: provision.py SMB.CONF REALM PASSWORD READER

PASSWORD becomes that of Administrator and of the account READER, an ordinary user. The command-line tool would do
the same more slowly, and insists on a file system for group policies.
"""

import logging
import sys

from samba import param
from samba.auth import system_session
from samba.dcerpc import security
from samba.provision import FILL_FULL, provision
from samba.samdb import SamDB

conf, realm, password, reader = sys.argv[1:]
lp = param.LoadParm()
lp.load(conf)
logging.basicConfig(level=logging.WARNING)
provision(
    logging.getLogger("provision"),
    system_session(),
    smbconf=conf,
    samdb_fill=FILL_FULL,
    realm=realm,
    domain=realm.split(".")[0],
    hostname="dc1",
    hostip="127.0.0.1",
    adminpass=password,
    dns_backend="NONE",
    serverrole="active directory domain controller",
    lp=lp,
    use_rfc2307=True,
    dom_for_fun_level=4,
    skip_sysvolacl=True,
    backend_store="tdb",
    # The same domain every time, so that SIDs can be told apart from other differences.
    domainsid=security.dom_sid("S-1-5-21-1111111111-2222222222-3333333333"),
)
db = SamDB(url=lp.private_path("sam.ldb"), session_info=system_session(), lp=lp)
db.newuser(reader, password)
db.setexpiry(f"(sAMAccountName={reader})", 0, no_expiry_req=True)
