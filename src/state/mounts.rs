//! On which kind of file system a path is, by /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::path::Path;

/// File systems that several hosts may have mounted, and whose locks the others do not see, or see late. Cluster file
/// systems are among them: their locks hold, and the memory that SQLite shares between its users does not.
const NETWORK: &[&str] = &[
    "9p",
    "acfs",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "davfs",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncp",
    "ncpfs",
    "nfs",
    "nfs3",
    "nfs4",
    "ocfs2",
    "orangefs",
    "pvfs2",
    "smb",
    "smb2",
    "smb3",
    "smbfs",
];

/// The same in user space: `fuse.NAME`, or `fuse` with such a source.
const NETWORK_FUSE: &[&str] = &[
    "afs",
    "alluxio-fuse",
    "blobfuse",
    "blobfuse2",
    "ceph",
    "ceph-fuse",
    "cephfs",
    "curlftpfs",
    "davfs",
    "davfs2",
    "gcsfuse",
    "geesefs",
    "gluster",
    "glusterfs",
    "goofys",
    "juicefs",
    "lizardfs",
    "mfs",
    "moosefs",
    "mount-s3",
    "mountpoint-s3",
    "nfs",
    "rclone",
    "s3fs",
    "seaweedfs",
    "smbnetfs",
    "sshfs",
    "vmhgfs-fuse",
    "weed",
];

/// What it is called, if the file system that holds `path` is shared over a network.
pub(super) fn network_kind(mountinfo: &str, path: &Path) -> Option<String> {
    let mount = holding(mountinfo, path)?;
    let kind = mount.kind.to_ascii_lowercase();
    let network = match kind.split_once('.') {
        Some((fuse, name)) if fuse.starts_with("fuse") => NETWORK_FUSE.contains(&name),
        _ if kind == "fuse" => {
            // `s3fs`, `rclone:bucket`, `bucket:/prefix` of a program that gives no name of its own.
            let name = mount.source.split([':', '#', '/']).next().unwrap_or_default();
            NETWORK_FUSE.contains(&name)
        }
        _ => NETWORK.contains(&kind.as_str()),
    };
    network.then(|| mount.kind.to_owned())
}

struct Mount<'a> {
    kind: &'a str,
    source: String,
}

/// The mount with the longest point above `path`; of several on the same point, the last covers the others.
fn holding<'a>(mountinfo: &'a str, path: &Path) -> Option<Mount<'a>> {
    let mut best: Option<(usize, Mount<'a>)> = None;
    for line in mountinfo.lines() {
        // Optional fields, of any number, end with a dash.
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let Some(point) = before.split(' ').nth(4) else { continue };
        let mut after = after.split(' ');
        let Some(kind) = after.next() else { continue };
        let point = unescape(point);
        if path.starts_with(&point) && best.as_ref().is_none_or(|(length, _)| point.len() >= *length) {
            let source = unescape(after.next().unwrap_or_default());
            best = Some((point.len(), Mount { kind, source }));
        }
    }
    best.map(|(_, mount)| mount)
}

/// `\040` is a space; the same for tab, line end and backslash.
fn unescape(field: &str) -> String {
    field
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\043", "#")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = r"21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:5 / /proc rw,nosuid shared:2 master:3 - proc proc rw
40 21 0:40 / /var/lib/idcsync rw,relatime shared:20 - nfs4 fs:/x rw,vers=4.2
41 40 254:1 /local /var/lib/idcsync/local rw,relatime - xfs /dev/vdb rw
42 21 0:41 / /mnt/my\040share rw - cifs //s/y rw
43 21 0:42 / /srv rw - nfs4 fs:/z rw
44 43 0:43 / /srv rw - tmpfs tmpfs rw
45 21 0:44 / /auto rw - autofs systemd-1 rw
46 45 0:45 / /auto rw - nfs fs:/auto rw
47 21 0:46 / /mnt/a\134040b rw - ceph mon:/ rw
50 21 0:50 / /home/me/ssh rw - fuse.sshfs me@host: rw
51 21 0:51 / /bucket/a rw - fuse mountpoint-s3 rw
52 21 0:52 / /bucket/b rw - fuse.gcsfuse my-bucket rw
53 21 0:53 / /rootless rw - fuse.fuse-overlayfs fuse-overlayfs rw
54 21 0:54 / /usb rw - fuseblk /dev/sdb1 rw
55 21 0:55 / /gluster rw - fuse.glusterfs host:/vol rw
56 21 0:56 / /portal rw - fuse.portal portal rw
60 21 0:60 / /shared rw - 9p hgfs rw,trans=virtio
61 21 0:61 / /cluster/one rw - gfs2 /dev/mapper/one rw
62 21 0:62 / /cluster/two rw - ocfs2 /dev/mapper/two rw
63 21 0:63 / /scratch rw - lustre mgs@tcp:/l rw
64 21 0:64 / /smb rw - smb3 //s/z rw
65 21 0:65 / /afs rw - afs #root.cell rw
";

    fn kind(path: &str) -> Option<String> {
        network_kind(MOUNTS, Path::new(path))
    }

    #[test]
    fn the_longest_mount_point_counts_and_the_last_on_it() {
        assert_eq!(kind("/var/lib/idcsync/state.db").as_deref(), Some("nfs4"));
        for local in ["/var/lib/idcsync2/state.db", "/var/lib/idcsync/local/state.db", "/srv/state.db", "/x"]
        {
            assert_eq!(kind(local), None, "{local}");
        }
        assert_eq!(kind("/auto/state.db").as_deref(), Some("nfs"), "mounted when it was first used");
    }

    #[test]
    fn escapes_are_undone_once() {
        assert_eq!(kind("/mnt/my share/state.db").as_deref(), Some("cifs"));
        assert_eq!(kind("/mnt/a\\040b/state.db").as_deref(), Some("ceph"));
        assert_eq!(kind("/mnt/a b/state.db"), None);
    }

    #[test]
    fn what_is_shared_over_a_network_is_known_in_the_kernel_and_in_user_space() {
        for (path, expected) in [
            ("/home/me/ssh/s.db", "fuse.sshfs"),
            ("/bucket/a/s.db", "fuse"),
            ("/bucket/b/s.db", "fuse.gcsfuse"),
            ("/gluster/s.db", "fuse.glusterfs"),
            ("/shared/s.db", "9p"),
            ("/cluster/one/s.db", "gfs2"),
            ("/cluster/two/s.db", "ocfs2"),
            ("/scratch/s.db", "lustre"),
            ("/smb/s.db", "smb3"),
            ("/afs/s.db", "afs"),
        ] {
            assert_eq!(kind(path).as_deref(), Some(expected), "{path}");
        }
        for local in ["/rootless/s.db", "/usb/s.db", "/portal/s.db"] {
            assert_eq!(kind(local), None, "{local}");
        }
    }

    #[test]
    fn lines_of_another_form_are_passed_over() {
        assert_eq!(network_kind("\nnonsense\n1 2 3 - nfs\n- - -\n", Path::new("/a")), None);
    }
}
