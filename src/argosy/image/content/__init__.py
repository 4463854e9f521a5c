"""What image layers contain: blobs, wheels, Debian packages, bytecode, and the programs that unpack them.

From outside: `blob_store`, `debian`, `deterministic_pyc`, `external_program`, `packaged_tests`, `staging`,
`wheels`.
"""
