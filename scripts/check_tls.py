#!/usr/bin/env python3
"""Asks a server what it would speak: old protocols, weak ciphers and old weaknesses have to be refused.

    check_tls.py HOST:PORT [HOST:PORT ...]

Prints a line for each question, and ends with 1 if an answer is another than it should be. It speaks the first message of a handshake
itself, since no library offers any more what is to be refused. Certificates aren't looked at.
"""

import os
import socket
import ssl
import struct
import sys
from collections.abc import Iterator

TIMEOUT_S = 5
ALERT, HANDSHAKE = 21, 22

# TLS 1.2 without forward secrecy, authenticated encryption, or any encryption
WEAK_SUITES = {
    "NULL": [0x0001, 0x0002, 0x003B, 0xC006, 0xC010],
    "anonymous": [0x0034, 0x006D, 0xC018, 0xC019],
    "export": [0x0003, 0x0006, 0x0008, 0x0014],
    "RC4": [0x0004, 0x0005, 0xC007, 0xC011],
    "DES and 3DES": [0x0009, 0x000A, 0xC008, 0xC012],
    "CBC": [0x002F, 0x0035, 0x003C, 0xC009, 0xC00A, 0xC013, 0xC014, 0xC023, 0xC027],
    "without forward secrecy": [0x009C, 0x009D, 0x00A8],
}
GOOD_SUITES = [0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9]


def vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size) + data


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">H", kind) + vector(data, 2)


def hello(version: int, suites: list[int], more: bytes = b"", compressions: bytes = b"\0") -> bytes:
    """A client's first message, as one record."""
    groups = extension(10, vector(struct.pack(">3H", 0x001D, 0x0017, 0x0018), 2)) + extension(11, b"\1\0")
    signatures = extension(13, vector(struct.pack(">6H", 0x0403, 0x0503, 0x0804, 0x0401, 0x0501, 0x0201), 2))
    body = struct.pack(">H", version) + os.urandom(32) + b"\0"
    body += vector(b"".join(struct.pack(">H", suite) for suite in suites), 2) + vector(compressions, 1)
    body += vector(groups + signatures + extension(0xFF01, b"\0") + more, 2)
    return b"\x16\x03\x01" + vector(b"\1" + vector(body, 3), 2)


# SSLv2's own form: version, suites of three bytes, a challenge
SSLV2 = b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + bytes.fromhex("0100800200800300800400800500800600400700c0") + bytes(16)


def answer(address: tuple[str, int], message: bytes) -> bytes:
    """What the server says first; nothing when it hangs up."""
    with socket.create_connection(address, TIMEOUT_S) as connection:
        connection.sendall(message)
        try:
            return connection.recv(4096)
        except ConnectionError:
            return b""


def is_refused(address: tuple[str, int], message: bytes) -> bool:
    told = answer(address, message)
    return not told or told[0] != HANDSHAKE


def chosen(address: tuple[str, int], message: bytes) -> bytes:
    """The server's first handshake message, without its record's head."""
    told = answer(address, message)
    return told[5:] if told[:1] == bytes([HANDSHAKE]) else b""


def speaks(address: tuple[str, int], version: ssl.TLSVersion, protocol: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols([protocol])
    with socket.create_connection(address, TIMEOUT_S) as plain:
        try:
            with context.wrap_socket(plain) as secure:
                return secure.selected_alpn_protocol() == protocol and secure.compression() is None
        except (ssl.SSLError, ConnectionError):
            return False


def questions(address: tuple[str, int]) -> Iterator[tuple[str, bool]]:
    every_suite = GOOD_SUITES + [suite for suites in WEAK_SUITES.values() for suite in suites]
    yield "SSLv2 is refused", is_refused(address, SSLV2)
    for name, version in [("SSLv3", 0x0300), ("TLS 1.0", 0x0301), ("TLS 1.1", 0x0302)]:
        yield f"{name} is refused", is_refused(address, hello(version, every_suite))
    for name, suites in WEAK_SUITES.items():
        yield f"ciphers refused: {name}", is_refused(address, hello(0x0303, suites))
    told = chosen(address, hello(0x0303, every_suite))
    suite = int.from_bytes(told[39 + told[38] :][:2]) if len(told) > 40 else 0
    yield "among all ciphers a good one is chosen", suite in GOOD_SUITES
    compressed = chosen(address, hello(0x0303, GOOD_SUITES, compressions=b"\1\0"))
    yield "nothing is compressed", not compressed or compressed[41 + compressed[38]] == 0
    yield "without a good compression there is no talk", is_refused(address, hello(0x0303, GOOD_SUITES, compressions=b"\1"))
    beating = chosen(address, hello(0x0303, GOOD_SUITES, extension(15, b"\1")))
    yield "no heartbeat is agreed on", b"\0\x0f\0\1" not in beating[: 4 + int.from_bytes(beating[1:4])]
    yield "renegotiation can't be forged", b"\xff\x01\0\1\0" in told
    yield "text is no handshake", is_refused(address, b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for protocol in ("h2", "http/1.1"):
            yield f"{version.name} carries {protocol}", speaks(address, version, protocol)


def main(places: list[str]) -> int:
    failed = 0
    for place in places:
        host, _, port = place.rpartition(":")
        for question, holds in questions((host.strip("[]"), int(port))):
            print(f"{place}  {'yes' if holds else 'NO ':3}  {question}")
            failed += not holds
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
