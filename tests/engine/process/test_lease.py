"""Lease: a record that is valid or void as a whole, and a lock that is held while the agent lives."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from binascii import crc32
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from argosy.engine.process.lease import (
    RECORD_BYTES,
    LeaseRecord,
    is_lease_free,
    open_lease,
    pack_record,
    read_record,
    try_lock,
    unpack_record,
    write_record,
)
from argosy.engine.process.os_process import ProcessIdentity, boot_id, open_process, read_stat
from argosy.engine.state.generation import acquire_lock, raise_generation, read_generation

RECORDS = st.builds(
    LeaseRecord,
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**64 - 1),
    st.builds(ProcessIdentity, st.integers(1, 2**31 - 1), st.integers(0, 2**64 - 1)),
    st.integers(0, 2**64 - 1),
)


@given(RECORDS)
def test_lease_record_survives_packing(record: LeaseRecord) -> None:
    assert unpack_record(pack_record(record)) == record


@given(RECORDS, st.integers(0, RECORD_BYTES * 8 - 1))
def test_lease_record_with_flipped_bit_is_void(record: LeaseRecord, bit: int) -> None:
    data = bytearray(pack_record(record))
    data[bit // 8] ^= 1 << bit % 8
    assert unpack_record(bytes(data)) is None


@given(st.binary(max_size=2 * RECORD_BYTES))
def test_lease_record_decoder_accepts_any_bytes(data: bytes) -> None:
    unpack_record(data)


def test_zeros_are_not_lease_record() -> None:
    assert unpack_record(bytes(RECORD_BYTES)) is None
    assert unpack_record(b"") is None
    assert unpack_record(with_checksum(struct.pack("<II16sQQQI", 2, 0, b"b" * 16, 1, 1, 1, 1))) is None, (
        "of length 0"
    )


def with_checksum(body: bytes) -> bytes:
    return body + struct.pack("<I", crc32(body))


@given(RECORDS, st.binary(max_size=40))
def test_lease_record_of_version_1_is_read(record: LeaseRecord, rest: bytes) -> None:
    fields = (record.boot_id, record.incarnation, record.identity.start_ticks, record.generation)
    old = with_checksum(struct.pack("<I16sQQQI", 1, *fields, record.identity.pid))
    assert unpack_record(old + rest) == record


@given(RECORDS, st.integers(3, 9), st.binary(min_size=1, max_size=40), st.binary(max_size=40))
def test_lease_record_of_later_version_is_read_without_new_fields(
    record: LeaseRecord, version: int, added: bytes, rest: bytes
) -> None:
    known = pack_record(record)[8:-4]
    later = with_checksum(struct.pack("<II", version, RECORD_BYTES + len(added)) + known + added)
    assert unpack_record(later + rest) == record
    assert unpack_record(later[:-1]) is None


def test_lease_lock_is_held_while_any_descriptor_copy_is_open(tmp_path: Path) -> None:
    path = tmp_path / "A"
    code = (
        "import fcntl, os, sys, subprocess\n"
        f"fd = os.open({str(path)!r}, os.O_RDWR | os.O_CREAT); fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "os.set_inheritable(fd, True)\n"
        "child = subprocess.Popen(['cat'], stdin=0, close_fds=False)\n"
        "print(child.pid, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdin
    process.stdout.readline()
    process.wait()  # the one that locked is dead, what it started lives
    assert not is_lease_free(path)
    process.stdin.close()
    process.stdout.read()  # ends when the child has ended
    process.stdout.close()
    descriptor = open_lease(path)
    while not try_lock(descriptor):
        pass
    os.close(descriptor)


def test_lease_record_is_read_back_from_file(tmp_path: Path) -> None:
    descriptor = open_lease(tmp_path / "A")
    me = read_stat(os.getpid())
    assert me is not None
    record = LeaseRecord(boot_id(), 7, ProcessIdentity(os.getpid(), me.start_ticks), 3)
    write_record(descriptor, record)
    os.close(descriptor)
    assert read_record(tmp_path / "A") == record
    pidfd = open_process(record.identity)
    assert pidfd is not None
    os.close(pidfd)
    assert open_process(ProcessIdentity(os.getpid(), me.start_ticks + 1)) is None, (
        "another process of that number"
    )


def test_missing_lease_file_has_no_record_and_is_free(tmp_path: Path) -> None:
    assert read_record(tmp_path / "none") is None
    assert is_lease_free(tmp_path / "none")


def test_generation_rises_and_supervisor_lock_is_exclusive(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.lock"
    assert read_generation(path) == 0
    first = acquire_lock(path, 0.0)
    assert first is not None
    number = raise_generation(first)
    assert number > 0
    assert acquire_lock(path, 0.0) is None
    os.close(first)
    second = acquire_lock(path, 0.0)
    assert second is not None
    assert raise_generation(second) == number + 1 == read_generation(path)
    os.close(second)


@given(st.binary(max_size=60) | st.integers(0, 10**20 - 1).map(lambda number: b"%020d" % number))
@example(b"not a number")
@example(b"-1")
@example(b"99999999999999999999")
@example(b"\xc2\xb2\n")
def test_overwritten_lock_file_gets_valid_generation(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        before = read_generation(file.name)
        descriptor = acquire_lock(file.name, 0.0)
        assert descriptor is not None
        raised = raise_generation(descriptor)
        os.close(descriptor)
        assert raised == read_generation(file.name) != before
        assert 0 < raised <= 2**63, "a lease can hold it"
        assert raised == before + 1 or not before
