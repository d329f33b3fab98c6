"""Code that talks to others. Who listens is the suite's own, on loopback."""

from __future__ import annotations

from .case import Case

CASES = (
    Case(
        "tcp",
        "TCP/UDP/IPv6 loopback",
        """
import socket
for host, port in (("127.0.0.1", facts["tcp"]), ("0.0.0.0", facts["tcp"]),
                   ("localhost", facts["tcp"])):
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(b"x")
        breach(f"{host}:{port}")
    except OSError:
        pass
""",
    ),
    Case(
        "udp",
        "TCP/UDP/IPv6 loopback",
        """
import socket
try:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", facts["udp"]))
    breach("udp")
except OSError:
    pass
""",
    ),
    Case(
        "ipv6",
        "TCP/UDP/IPv6 loopback",
        """
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    try:
        with socket.socket(socket.AF_INET6, kind) as sender:
            breach(f"an IPv6 socket, {kind!r}")
            sender.settimeout(1)
            sender.connect(("::1", facts["tcp6"] or facts["tcp"]))
            sender.send(b"x")
    except OSError:
        pass
""",
    ),
    Case(
        "unix",
        "abstract + path unix sockets",
        """
import socket
for address in (facts["unix_path"], facts["unix_abstract"]):
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        try:
            with socket.socket(socket.AF_UNIX, kind) as sender:
                sender.settimeout(1)
                sender.connect(address)
                sender.send(b"x")
            breach(repr(address))
        except OSError:
            pass
""",
    ),
    Case(
        "netlink",
        "netlink",
        """
import socket
for family in (0, 9, 15, 16):  # route, audit, kobject-uevent, generic
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family).close()
        breach(f"netlink {family}")
    except OSError:
        pass
""",
    ),
    Case(
        "raw",
        "raw",
        """
import socket
for family, kind, proto in ((2, 3, 1), (2, 3, 255), (17, 3, 768), (17, 2, 0), (2, 2, 1),
                            (10, 3, 58)):
    try:
        socket.socket(family, kind, proto).close()
        breach(f"socket({family}, {kind}, {proto})")
    except OSError:
        pass
""",
    ),
    Case(
        "odd-families",
        "AF_ALG/VSOCK",
        """
import socket
for family in (38, 40, 29, 31, 44):  # ALG, VSOCK, CAN, BLUETOOTH, XDP
    for kind in (1, 2, 3, 5):
        try:
            socket.socket(family, kind, 0).close()
            breach(f"socket family {family}")
        except OSError:
            pass
""",
    ),
    Case(
        "listen",
        "listen",
        """
import socket
for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0)),
                        (socket.AF_UNIX, "\\0" + facts["tag"]), (socket.AF_UNIX, facts["tag"])):
    try:
        with socket.socket(family) as listener:
            listener.bind(address)
            listener.listen()
        breach(f"listens on {address}")
    except OSError:
        pass
""",
    ),
    Case(
        "any-address",
        "metadata address",
        """
import socket
# Whoever has such a socket reaches 169.254.169.254 too; none is sent anything.
for make in (lambda: socket.socket(), lambda: socket.socket(2, 2), lambda: socket.socket(10, 2)):
    try:
        make().close()
        breach("an internet socket")
    except OSError:
        pass
try:
    import _socket
    _socket.socket(2, 1, 0).close()
    breach("_socket")
except OSError:
    pass
""",
    ),
    Case(
        "service-ports",
        "Ray/gRPC ports",
        """
import socket
for port in facts["service_ports"]:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n")
        breach(f"port {port}")
    except OSError:
        pass
""",
    ),
    Case(
        "sysv",
        "SysV shm/sem",
        """
for make, control, arguments in (("shmget", "shmctl", (4096, 0o1666)),
                                 ("semget", "semctl", (1, 0o1666)),
                                 ("msgget", "msgctl", (0o1666,))):
    made, errno = syscall(make, facts["key"], *arguments)
    if made >= 0:
        breach(f"{make} made {made}")
        syscall(control, made, 0, 0)  # IPC_RMID, wherever the argument stands
""",
    ),
    Case(
        "posix-mq",
        "POSIX mq",
        """
import ctypes
name = ctypes.c_char_p(facts["tag"].encode())
queue, errno = syscall("mq_open", name, 0o102, 0o600, 0)
if queue >= 0:
    breach("mq_open")
    syscall("mq_unlink", name)
""",
        bare=False,  # a limit of the process holds it at each level
    ),
    Case(
        "dbus",
        "D-Bus path",
        """
import socket
for address in ("/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket",
                facts["dbus_path"]):
    try:
        with socket.socket(socket.AF_UNIX) as sender:
            sender.settimeout(1)
            sender.connect(address)
            sender.send(b"\\0AUTH EXTERNAL\\r\\n")
        breach(address)
    except OSError:
        pass
""",
    ),
)
