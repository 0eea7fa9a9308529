"""Private keys at work: from the SHA-256 of what is signed to the signature, the same one for the same digest."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Sign = Callable[[bytes], bytes]

_PKCS1 = padding.PKCS1v15()
_SHA256 = Prehashed(hashes.SHA256())


def sign_of(private: PrivateKey) -> Sign:
    """Return what signs a digest with this key."""
    if isinstance(private, rsa.RSAPrivateKey):
        return lambda digest: private.sign(digest, _PKCS1, _SHA256)
    return private.sign  # RFC 8463 §3: Ed25519 signs the hash as if it were the message


def exported(private: PrivateKey) -> bytes:
    """Return a key as `signing_with` reads it (PKCS #8): for another process of ours, never for a file."""
    return private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signing_with(octets: bytes) -> Sign:
    """Return what signs a digest with an exported key. Raises TypeError for another kind of key."""
    private = serialization.load_der_private_key(octets, password=None)
    if not isinstance(private, PrivateKey):
        raise TypeError(f"{type(private).__name__} does not sign mail")
    return sign_of(private)
