"""What code in a container tries. Each is the body of a function; what it returns is its loot."""

from __future__ import annotations

PRELUDE = """
import ctypes, errno, mmap, os, pathlib, re, resource, signal, socket, struct, subprocess, sys, tempfile
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    # The result of a system call, or nothing where it is refused.
    found = libc.syscall(ctypes.c_long(number), *arguments)
    return None if found < 0 else found or "done"

def read(path):
    return open(path, "rb").read()

def others():
    return [p for p in os.listdir("/proc") if p.isdecimal() and int(p) != os.getpid()]
"""

SECRETS = {
    "the environment of the first process": "return read('/proc/1/environ')",
    "the memory of the first process": "return open('/proc/1/mem', 'rb').read(1)",
    "its memory map": "return read('/proc/1/maps') + read('/proc/1/smaps')",
    "its descriptors": "return os.listdir('/proc/1/fd')",
    "the attached stream": "return os.open('/proc/1/fd/0', os.O_RDONLY)",
    "the attached stream, to write": "return os.open('/proc/1/fd/1', os.O_WRONLY)",
    "its root": "return os.listdir('/proc/1/root')",
    "its folder": "return os.listdir('/proc/1/cwd')",
    "its stack": "return read('/proc/1/stack') or read('/proc/1/syscall')",
    "its system calls": "return read('/proc/1/syscall')",
    "its tasks": "return [os.listdir(f'/proc/1/task/{t}/fd') for t in os.listdir('/proc/1/task')]",
    "tracing it": "return call(101, 16, 1, 0, 0)",  # ptrace(PTRACE_ATTACH)
    "seizing it": "return call(101, 0x4206, 1, 0, 0)",  # ptrace(PTRACE_SEIZE)
    "reading it by the system": """
        room = ctypes.create_string_buffer(8)
        iov = (ctypes.c_uint64 * 2)(ctypes.addressof(room), 8)
        far = (ctypes.c_uint64 * 2)(0x400000, 8)
        return call(310, 1, iov, 1, far, 1, 0)
    """,
    "writing to it by the system": """
        room = ctypes.create_string_buffer(8)
        iov = (ctypes.c_uint64 * 2)(ctypes.addressof(room), 8)
        far = (ctypes.c_uint64 * 2)(0x400000, 8)
        return call(311, 1, iov, 1, far, 1, 0)
    """,
    "taking its descriptors": """
        pidfd = call(434, 1, 0)
        return pidfd and call(438, pidfd, 0, 0)
    """,
    "command lines and environments of all": """
        found = b""
        for pid in os.listdir("/proc"):
            for name in ("cmdline", "environ"):
                try: found += read(f"/proc/{pid}/{name}")
                except OSError: pass
        return any(all(part in found for part in parts) for parts in SECRET_PARTS)
    """,
    "every file that can be read": """
        for top, folders, names in os.walk("/"):
            folders[:] = [f for f in folders if (top, f) not in (("/", "proc"), ("/", "sys"))]
            for name in names:
                path = os.path.join(top, name)
                if os.path.isfile(path) and os.path.getsize(path) < 2**20:
                    try: found = read(path)
                    except OSError: continue
                    if any(all(part in found for part in parts) for parts in SECRET_PARTS):
                        return path
    """,
    "its own memory": """
        # The halves are in this very code, but never one behind the other.
        for line in open("/proc/self/maps"):
            span, rights = line.split()[:2]
            if not rights.startswith("rw"): continue
            start, end = (int(part, 16) for part in span.split("-"))
            with open("/proc/self/mem", "rb", 0) as memory:
                memory.seek(start)
                try: data = memory.read(end - start)
                except OSError: continue
            for first, second in SECRET_PARTS:
                for match in re.finditer(re.escape(first), data):
                    if data[match.end() : match.end() + len(second)] == second:
                        return line
    """,
    "descriptors that it inherited": """
        found = []
        for fd in os.listdir("/proc/self/fd"):
            try: target = os.readlink(f"/proc/self/fd/{fd}")
            except OSError: continue
            if int(fd) == 0 and target != "/dev/null" or "docker" in target: found.append(target)
        return found
    """,
}
KEEPER = {
    "killing it": "os.kill(1, signal.SIGKILL); return True",
    "stopping it": "os.kill(1, signal.SIGSTOP); return True",
    "every signal": """
        sent = []
        for number in range(1, 65):
            try: os.kill(1, number); sent.append(number)
            except OSError: pass
        return sent
    """,
    "real-time signals with a value": "return call(129, 1, 34, ctypes.create_string_buffer(128))",
    "a signal through a descriptor of it": "return call(424, call(434, 1, 0) or -1, 9, None, 0)",
    "lowering its limits": "resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0)); return True",
    "lowering its limits as a 32-bit program": """
        return call(0x40000000 | 302, 1, 7, (ctypes.c_uint64 * 2)(), None)
    """,
    "joining its group": "os.setpgid(0, 1); return True",
    "taking its name in /run": """
        for path in pathlib.Path("/run").rglob("*"):
            if path.is_socket() and path.owner() != "pcm": return str(path)
    """,
    "choosing it when memory is short": "open('/proc/1/oom_score_adj', 'w').write('1000'); return True",
}
OUT = {
    "writing beside its folders": """
        written = []
        folders = "/ /bin /etc /lib /opt /usr /usr/local/lib /deps /root /dev /sys /proc/sys/kernel /proc/1"
        for folder in folders.split():
            try: open(f"{folder}/trial", "w"); written.append(folder)
            except OSError: pass
        return written
    """,
    "changing its program": "open(sys.executable, 'ab').write(b'x'); return True",
    "changing packages": "import IPython; open(IPython.__file__, 'a').write('x'); return True",
    "remounting the root": "return call(165, b'', b'/', b'', 32, b'')",
    "mounting a file system": "return call(165, b'none', b'/work', b'tmpfs', 0, b'')",
    "mounting the host's disk": "return call(165, b'/dev/vda', b'/work', b'ext4', 0, b'')",
    "moving a mount": "return call(429, -100, b'/etc', -100, b'/work', 0)",
    "another root": "return call(155, b'/work', b'/work')",
    "chroot": "os.chroot('/work'); return True",
    "being root": "os.setuid(0); return True",
    "more groups": "os.setgroups([0]); return True",
    "programs with the set-user-id bit": """
        return [p for folder in ("/bin", "/usr/bin", "/usr/local/bin") if os.path.isdir(folder)
                for p in os.listdir(folder) if os.stat(f"{folder}/{p}").st_mode & 0o6000]
    """,
    "capabilities": """
        lines = [line.split() for line in open('/proc/self/status') if line.startswith('Cap')]
        return [name for name, mask in lines if int(mask, 16)]
    """,
    "a namespace of its own": """
        flags = (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000)
        return [flag for flag in flags if libc.unshare(flag) == 0]
    """,
    "a child in a new namespace": "return subprocess.run(['unshare', '-Ur', 'id']).returncode == 0",
    "the namespaces of another": "return libc.setns(os.open('/proc/1/ns/mnt', os.O_RDONLY), 0) == 0",
    "a device": "os.mknod('/work/disk', 0o60600, os.makedev(254, 0)); return True",
    "devices that are there": """
        return [d for d in ('mem', 'kmem', 'kmsg', 'port', 'sda', 'vda', 'nvme0n1', 'kvm', 'fuse', 'net/tun')
                if os.path.exists(f'/dev/{d}')]
    """,
    "raw sockets": "return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "packets": "return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)",
    "virtual machine sockets": "return socket.socket(40, socket.SOCK_STREAM).connect((2, 1)) or 'connected'",
    "kernel modules": "return call(313, 0, b'', 0) or call(175, b'', 0, b'')",
    "another kernel": "return call(246, 0, 0, 0, 0) or call(169, 0xfee1dead, 672274793, 0x1234567, 0)",
    "programs in the kernel": "return call(321, 0, ctypes.create_string_buffer(128), 128)",
    "its counters": "return call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)",
    "its keys": "return call(250, 0, -3, 1) or call(248, b'user', b'x', b'y', 1, -3)",
    "files by their handles": "return call(304, -100, ctypes.create_string_buffer(128), 0)",
    "faults in user space": "return call(323, 1)",
    "the system's log": "return call(103, 3, ctypes.create_string_buffer(64), 64)",
    "the clock": "return call(227, 0, (ctypes.c_long * 2)(1, 1))",
    "the host's name": "socket.sethostname('x'); return True",
    "settings of the system": "open('/proc/sys/kernel/core_pattern', 'w').write('|/work/x'); return True",
    "the magic key": "open('/proc/sysrq-trigger', 'w').write('b'); return True",
    "its own limits": """
        written = []
        for top, _, names in os.walk('/sys/fs/cgroup'):
            for name in names:
                if name in 'memory.limit_in_bytes memory.max pids.max cgroup.procs release_agent'.split():
                    try: open(f'{top}/{name}', 'w').write('max'); written.append(name)
                    except OSError: pass
        return written
    """,
    "the engine's socket": """
        names = ('/var/run/docker.sock', '/run/docker.sock', '/run/containerd/containerd.sock')
        abstract = [line for line in open('/proc/net/unix') if '@' in line and 'containerd' in line]
        return [n for n in names if os.path.exists(n)] + abstract
    """,
    "the host's processes": "return [p for p in others() if b'dockerd' in read(f'/proc/{p}/cmdline')]",
    "a network": """
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        routes = open('/proc/net/route').read().splitlines()[1:]
        links = [l.split(':')[0].strip() for l in open('/proc/net/dev').read().splitlines()[2:]]
        return routes or [l for l in links if l != 'lo'] or made.connect(('192.0.2.1', 9)) or True
    """,
}
ATTEMPTS = {**SECRETS, **KEEPER, **OUT}
