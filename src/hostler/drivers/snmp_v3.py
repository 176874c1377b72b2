"""SNMP v3 with the user-based security model (RFC 3412, 3414, 3826, 7860), one question at a time, no I/O.

Each question first asks the agent who it is and what its clock says. That costs one round trip and spares
a cache of clocks that is wrong after every reboot of the equipment.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped]
from pyasn1.error import PyAsn1Error  # type: ignore[import-untyped]
from pysnmp.proto import rfc1902, rfc1905
from pysnmp.proto.error import ProtocolError, StatusInformation
from pysnmp.proto.mpmod.rfc3412 import ScopedPDU, SNMPv3Message
from pysnmp.proto.secmod.rfc3414.priv.des import Des
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters
from pysnmp.proto.secmod.rfc3826.priv.aes import Aes

from hostler.drivers.errors import DriverConfigError, EquipmentRefused
from hostler.drivers.secrets import SecretReference

AUTH = {
    "md5": ("md5", 12),
    "sha": ("sha1", 12),
    "sha224": ("sha224", 16),
    "sha256": ("sha256", 24),
    "sha384": ("sha384", 32),
    "sha512": ("sha512", 48),
}
"""How a message is signed: hash, and the bytes of its digest that are sent."""

PRIVACY: dict[str, Any] = {"aes": Aes, "des": Des}
"""How a message is encrypted; both take a key of 16 bytes."""

_AUTHENTICATED, _ENCRYPTED, _REPORTABLE = 1, 2, 4
_USM = 3
_MOST_BYTES = 65507

# usmStats (RFC 3414): what an agent answers instead when it does not like the message.
_STATS = (1, 3, 6, 1, 6, 3, 15, 1, 1)
_STALE = {2: "notInTimeWindows", 4: "unknownEngineIDs"}
_WRONG = {
    1: "it does not allow this security level for the user",
    3: "it does not know the user",
    5: "auth or auth_password is wrong",
    6: "privacy or privacy_password is wrong",
}


@dataclass(frozen=True, slots=True)
class User:
    """Who we are to an agent.

    Attributes:
        name: The user's name.
        auth: A key of AUTH.
        auth_password: Where the password is; None sends unsigned messages.
        privacy: A key of PRIVACY.
        privacy_password: Where the password is; None sends in the clear.
    """

    name: str
    auth: str = "sha"
    auth_password: SecretReference | None = None
    privacy: str = "aes"
    privacy_password: SecretReference | None = None

    def __str__(self) -> str:
        return f'the user "{self.name}"'


class UserTalk:
    """One question, asked until the agent's identity and clock are known; see ``snmp.Talk``."""

    def __init__(self, user: User, pdu: Any, agent: str) -> None:
        self.answer: Any = None
        self._user = user
        self._pdu = pdu
        self._agent = agent
        self._request_id = int(pdu.getComponentByPosition(0))
        self._engine, self._boots, self._time = b"", 0, 0
        self._message_id = 0
        self._auth_password = _password(user.auth_password)
        self._privacy_password = _password(user.privacy_password)
        self._auth_key = self._privacy_key = b""

    def request(self) -> bytes:
        """Return the question, or while the agent is unknown one that makes it introduce itself."""
        self._message_id = secrets.randbelow(2**31 - 1) + 1
        scoped = ScopedPDU()
        scoped["contextEngineId"], scoped["contextName"] = self._engine, b""
        pdu = self._pdu if self._engine else _empty_request(self._request_id)
        scoped["data"].setComponentByType(pdu.tagSet, pdu)
        flags, privacy_parameters = _REPORTABLE, b""
        message = SNMPv3Message()
        if self._engine and self._auth_key:
            flags |= _AUTHENTICATED
        if self._engine and self._privacy_key:
            flags |= _ENCRYPTED
            encrypted, privacy_parameters = PRIVACY[self._user.privacy]().encrypt_data(
                _octets(self._privacy_key), (self._boots, self._time, None), encoder.encode(scoped)
            )
            message["msgData"]["encryptedPDU"] = encrypted
            privacy_parameters = bytes(privacy_parameters)
        else:
            message["msgData"]["plaintext"] = scoped
        message["msgVersion"] = 3
        header = message["msgGlobalData"]
        header["msgID"], header["msgMaxSize"] = self._message_id, _MOST_BYTES
        header["msgFlags"], header["msgSecurityModel"] = bytes([flags]), _USM
        parameters = self._parameters(bool(flags & _AUTHENTICATED), privacy_parameters)
        message["msgSecurityParameters"] = parameters
        data = bytes(encoder.encode(message))
        if not flags & _AUTHENTICATED:
            return data
        start, end = self._signature_place(data, parameters, privacy_parameters)
        return data[:start] + self._sign(data) + data[end:]

    def receive(self, data: bytes) -> bool:
        """Take a datagram; False when it is not signed by the agent or answers something else.

        Raises:
            EquipmentRefused: The agent says what is wrong with the user or its passwords.
        """
        try:
            message, _ = decoder.decode(data, asn1Spec=SNMPv3Message())
            raw = bytes(message["msgSecurityParameters"])
            parameters, _ = decoder.decode(raw, asn1Spec=UsmSecurityParameters())
            if int(message["msgGlobalData"]["msgID"]) != self._message_id:
                return False
            flags = bytes(message["msgGlobalData"]["msgFlags"])[0]
            signed = bool(flags & _AUTHENTICATED)
            if signed and not self._is_signed(data, raw, parameters):
                return False
            pdu = self._open(message, parameters, flags)
        except (PyAsn1Error, ProtocolError, StatusInformation, IndexError, ValueError):
            return False
        if pdu.tagSet == rfc1905.ReportPDU.tagSet:
            return self._report(pdu, parameters, signed)
        enough = _AUTHENTICATED * bool(self._auth_key) | _ENCRYPTED * bool(self._privacy_key)
        if not self._engine or flags & enough != enough or int(pdu[0]) != self._request_id:
            return False
        self.answer = pdu
        return True

    def _report(self, pdu: Any, parameters: Any, signed: bool) -> bool:
        oid = tuple(pdu[3][0][0])
        number = oid[len(_STATS)] if oid[: len(_STATS)] == _STATS and len(oid) > len(_STATS) else 0
        if number in _STALE:
            if number == 2 and not signed:
                return False  # whoever can send this unsigned could set our clock
            self._introduce(bytes(parameters[0]), int(parameters[1]), int(parameters[2]))
            return True
        why = _WRONG.get(number, f"it reports {'.'.join(map(str, oid))}")
        raise EquipmentRefused(f'{self._agent}: refuses the user "{self._user.name}": {why}')

    def _introduce(self, engine: bytes, boots: int, clock: int) -> None:
        if engine != self._engine:
            name = AUTH[self._user.auth][0]
            self._auth_key = _localised(name, self._auth_password, engine)
            self._privacy_key = _localised(name, self._privacy_password, engine)[:16]
        self._engine, self._boots, self._time = engine, boots, clock

    def _open(self, message: Any, parameters: Any, flags: int) -> Any:
        if not flags & _ENCRYPTED:
            scoped = message["msgData"]["plaintext"]
        else:
            plain = PRIVACY[self._user.privacy]().decrypt_data(
                _octets(self._privacy_key),
                (parameters[1], parameters[2], parameters[5]),
                message["msgData"]["encryptedPDU"],
            )
            scoped, _ = decoder.decode(bytes(plain), asn1Spec=ScopedPDU())
        return scoped["data"].getComponent()

    def _parameters(self, sign: bool, privacy_parameters: bytes) -> bytes:
        parameters = UsmSecurityParameters()
        parameters[0], parameters[1], parameters[2] = self._engine, self._boots, self._time
        parameters[3] = self._user.name if self._engine else ""
        parameters[4] = bytes(AUTH[self._user.auth][1]) if sign else b""
        parameters[5] = privacy_parameters
        return bytes(encoder.encode(parameters))

    def _signature_place(self, data: bytes, parameters: bytes, privacy_parameters: bytes) -> tuple[int, int]:
        # The last two fields of the security parameters are signature and salt; both are shorter than 128.
        end = data.index(parameters) + len(parameters) - len(privacy_parameters) - 2
        return end - AUTH[self._user.auth][1], end

    def _sign(self, data: bytes) -> bytes:
        name, size = AUTH[self._user.auth]
        return hmac.digest(self._auth_key, data, name)[:size]

    def _is_signed(self, data: bytes, raw: bytes, parameters: Any) -> bool:
        size = AUTH[self._user.auth][1]
        signature = bytes(parameters[4])
        if not self._auth_key or len(signature) != size:
            return False
        start, end = self._signature_place(data, raw, bytes(parameters[5]))
        return hmac.compare_digest(self._sign(data[:start] + bytes(size) + data[end:]), signature)


def _password(reference: SecretReference | None) -> bytes:
    if reference is None:
        return b""
    password = reference.reveal().encode()
    if len(password) < 8:
        raise DriverConfigError(reference.key, "has fewer than 8 characters, which SNMP v3 forbids")
    return password


def _localised(name: str, password: bytes, engine: bytes) -> bytes:
    """Return the key of a password for one agent (RFC 3414 section 2.6), empty without a password."""
    if not password:
        return b""
    stretched = (password * (2**20 // len(password) + 1))[: 2**20]
    key = hashlib.new(name, stretched).digest()
    return hashlib.new(name, key + engine + key).digest()


def _empty_request(request_id: int) -> Any:
    pdu = rfc1905.GetRequestPDU()
    pdu[0], pdu[1], pdu[2] = request_id, 0, 0
    pdu[3].clear()
    return pdu


def _octets(key: bytes) -> Any:
    return rfc1902.OctetString(key)
