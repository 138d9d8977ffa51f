"""The few Kafka requests that the measurements send themselves, in one newer (flexible) version each.

Only what must be the same, byte for byte, in every run: for everything else real clients are used. No retries, no
metadata, one connection; an error code ends the program.
"""

import socket
import struct

PRODUCE, FETCH, FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, SYNC_GROUP = 0, 1, 10, 11, 12, 14
API_VERSIONS, CREATE_TOPICS, CONSUMER_GROUP_HEARTBEAT = 18, 19, 68


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def uvarint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number):
    return uvarint(number << 1 if number >= 0 else (-number << 1) - 1)


def compact(text):
    """A compact string, array or byte field: its length plus one, then itself."""
    data = text.encode() if isinstance(text, str) else text
    return uvarint(len(data) + 1) + data


def batch(values, timestamp_ms=1_700_000_000_000):
    """One uncompressed record batch (magic 2) with these values and no keys."""
    records = bytearray()
    for delta, value in enumerate(values):
        body = b"\0" + zigzag(0) + zigzag(delta) + zigzag(-1) + zigzag(len(value)) + value + zigzag(0)
        records += zigzag(len(body)) + body
    count = len(values)
    checked = struct.pack(">hiqqqhii", 0, count - 1, timestamp_ms, timestamp_ms, -1, -1, -1, count) + bytes(records)
    return struct.pack(">qiibI", 0, len(checked) + 9, 0, 2, crc32c(checked)) + checked


def request(key, version, body, correlation=1, client="measure"):
    name = client.encode()
    head = struct.pack(">hhih", key, version, correlation, len(name)) + name + b"\0"
    return struct.pack(">i", len(head) + len(body)) + head + body


def produce(topic, records, partition=0, acks=-1):
    body = b"\0" + struct.pack(">hi", acks, 30_000) + uvarint(2) + compact(topic) + uvarint(2)
    return request(PRODUCE, 9, body + struct.pack(">i", partition) + compact(records) + b"\0\0\0")


def fetch(topic, offset, max_bytes, partition=0, min_bytes=1, wait_ms=500):
    """Fetch version 12 outside any session."""
    body = struct.pack(">iiiibii", -1, wait_ms, min_bytes, max_bytes, 0, 0, -1) + uvarint(2) + compact(topic) + uvarint(2)
    body += struct.pack(">iiqiqi", partition, -1, offset, -1, -1, max_bytes) + b"\0\0" + uvarint(1) + compact("") + b"\0"
    return request(FETCH, 12, body)


def create_topic(topic, partitions=1, configs=()):
    body = uvarint(2) + compact(topic) + struct.pack(">ih", partitions, 1) + uvarint(1) + uvarint(len(configs) + 1)
    body += b"".join(compact(key) + compact(value) + b"\0" for key, value in configs) + b"\0"
    return request(CREATE_TOPICS, 5, body + struct.pack(">ib", 30_000, 0) + b"\0")


def api_versions():
    return request(API_VERSIONS, 3, compact("measure") + compact("1") + b"\0")


def heartbeat(group, generation, member):
    return request(HEARTBEAT, 4, compact(group) + struct.pack(">i", generation) + compact(member) + b"\0\0")


def join_group(group, member=""):
    subscription = struct.pack(">hii", 0, 0, -1)
    body = compact(group) + struct.pack(">ii", 300_000, 300_000) + compact(member) + b"\0" + compact("consumer")
    return request(JOIN_GROUP, 6, body + uvarint(2) + compact("range") + compact(subscription) + b"\0\0")


def sync_group(group, generation, member):
    body = compact(group) + struct.pack(">i", generation) + compact(member) + b"\0" + uvarint(2)
    return request(SYNC_GROUP, 4, body + compact(member) + compact(struct.pack(">hii", 0, 0, -1)) + b"\0\0")


def find_coordinator(group):
    return request(FIND_COORDINATOR, 3, compact(group) + b"\0\0")


class Connection:
    """One blocking connection."""

    def __init__(self, address, patience_s=120):
        self.socket = socket.create_connection(address, patience_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, frames):
        self.socket.sendall(frames)

    def receive(self):
        """The next answer, without length and correlation id."""
        (length,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(length)[4:]

    def ask(self, frame):
        self.send(frame)
        return self.receive()

    def close(self):
        self.socket.close()

    def _exactly(self, count):
        parts, missing = [], count
        while missing:
            part = self.socket.recv(min(missing, 1 << 20))
            if not part:
                raise ConnectionError("the broker closed the connection")
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Cursor:
    """Reads an answer's fields in order."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0] if len(values) == 1 else values

    def uvarint(self):
        shift = value = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def compact(self):
        length = self.uvarint() - 1
        data = self.data[self.at : self.at + max(length, 0)]
        self.at += max(length, 0)
        return None if length < 0 else bytes(data)


def produced(answer):
    """The base offset that a Produce answer tells."""
    cursor = Cursor(answer, 1)
    cursor.uvarint()
    cursor.compact()
    cursor.uvarint()
    _, error, offset = cursor.take("ihq")
    if error:
        raise RuntimeError(f"Produce was answered with error code {error}")
    return offset


def fetched(answer):
    """The bytes of records in a Fetch answer."""
    cursor = Cursor(answer, 1)
    _, error, _ = cursor.take("ihi")
    if error:
        raise RuntimeError(f"Fetch was answered with error code {error}")
    if cursor.uvarint() <= 1:
        return b""
    cursor.compact()
    cursor.uvarint()
    _, error, *_ = cursor.take("ihqqq")
    if error:
        raise RuntimeError(f"Fetch was answered with error code {error}")
    aborted = cursor.uvarint() - 1
    for _ in range(max(aborted, 0)):
        cursor.take("qq")
        cursor.uvarint()
    cursor.take("i")
    return cursor.compact() or b""
