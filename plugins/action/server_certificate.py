# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `server_certificate`: decides and signs on the control node; the module does what the host must do.

A run that finds nothing to do costs one call of the module and does not open the vault.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.sallyport.im.plugins.plugin_utils import authority
from ansible_collections.sallyport.im.plugins.plugin_utils.vault import VaultFault, passwords_of, read_vault
from cryptography import x509
from cryptography.hazmat.primitives import serialization

MODULE = "sallyport.im.server_certificate"
AUTHORITY = "ca.crt"
AUTHORITY_KEY = "ca_key"  # its name in the vault


@dataclass(frozen=True)
class Wanted:
    """What the task asks for.

    Attributes:
        names: names of the certificate.
        days: lifetime in days.
    """

    names: authority.Names
    days: int


def compare(
    chain: str, public_key: str, signer: x509.Certificate, wanted: Wanted
) -> tuple[x509.Certificate | None, list[authority.Difference]]:
    """Compare what a host has with what it should have.

    Args:
        chain: content of fullchain.pem, empty when there is none.
        public_key: public half of privkey.pem, PEM, empty when there is no readable key.
        signer: certificate of the site's authority.
        wanted: what the task asks for.

    Returns:
        The certificate of the host (None when there is none that can be read), and each reason to renew it.
    """
    if not chain:
        return None, [authority.Difference("certificate", "missing", f"one for {wanted.names.common_name}")]
    try:
        certificates = x509.load_pem_x509_certificates(chain.encode())
    except ValueError:
        return None, [authority.Difference("certificate", "damaged", f"one for {wanted.names.common_name}")]
    certificate = certificates[0]
    differences = authority.differences_of(certificate, signer, wanted.names, wanted.days)
    if len(certificates) != 1:
        differences.append(authority.Difference("chain", f"{len(certificates)} certificates", "1 certificate"))
    if not _belongs(certificate, public_key):
        present = "one of another certificate" if public_key else "missing or damaged"
        differences.append(authority.Difference("private key", present, "the one of the certificate"))
    return certificate, differences


def _belongs(certificate: x509.Certificate, public_key: str) -> bool:
    try:
        key = serialization.load_pem_public_key(public_key.encode())
        return authority.spki(key) == authority.spki(certificate.public_key())
    except (ValueError, authority.AuthorityFault):
        return False


def describe(certificate: x509.Certificate | None) -> dict[str, object]:
    """Return the fields of the result that describe a certificate.

    Args:
        certificate: the one in use, or None.

    Returns:
        not_after, serial, fingerprint and, when there is a certificate, days_left.
    """
    if certificate is None:
        return {"not_after": "", "serial": "", "fingerprint": ""}
    return {
        "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "days_left": authority.days_left(certificate),
        "serial": f"{certificate.serial_number:x}",
        "fingerprint": authority.fingerprint(certificate),
    }


def clock_warnings(host: float) -> list[str]:
    """Compare a host's clock with that of the control node; a certificate is worth nothing where the day is wrong.

    Args:
        host: time of the host, seconds since 1970.

    Returns:
        A warning when they are further apart than a new certificate allows; else nothing.
    """
    late = round(authority.utc_now().timestamp() - host)
    if abs(late) <= authority.LEEWAY.total_seconds():
        return []
    return [
        f"the host's clock is {datetime.timedelta(seconds=abs(late))} {'behind' if late > 0 else 'ahead of'} that of "
        "the control node; certificates and the last days of accounts go by it: set the wrong one right (timedatectl)"
    ]


class StepFault(Exception):
    """A step on the host failed.

    Attributes:
        answer: what the module said.
    """

    def __init__(self, answer: Mapping[str, object]) -> None:
        """Remember the module's answer.

        Args:
            answer: result of the module.
        """
        super().__init__(str(answer.get("msg", "the module failed")))
        self.answer = answer


class ActionModule(ActionBase):
    """The action `sallyport.im.server_certificate`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, object] | None = None) -> dict[str, object]:
        """Bring key and certificate of the host to what the task asks for.

        Args:
            tmp: not used any more by Ansible.
            task_vars: variables of the task; `inventory_dir` says where the authority stands.

        Returns:
            The result of the task, see RETURN in the module.
        """
        result: dict[str, object] = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            result.update(self._bring_about(variables))
        except StepFault as fault:
            # changed says the truth about a half-done run: a new key may stand beside the one in use
            result.update(fault.answer, failed=True, changed=False, differences=[])
        except (VaultFault, authority.AuthorityFault) as fault:
            result.update(failed=True, changed=False, msg=str(fault), differences=[])
        return result

    def _on_host(self, variables: Mapping[str, object], **step: object) -> dict[str, object]:
        arguments = {**self._task.args, **step}
        answer: dict[str, object] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=variables)
        if answer.get("failed") or "unreachable" in answer or answer.get("rc"):
            raise StepFault(answer)
        return answer

    def _bring_about(self, variables: Mapping[str, object]) -> dict[str, object]:
        for private in ("step", "folder", "chain"):
            if private in self._task.args:
                raise authority.AuthorityFault(f"the parameter {private!r} is set by this action itself; remove it")
        wanted = self._wanted()
        folder = Path(str(variables.get("inventory_dir") or ""))
        signer = self._signer(folder)
        seen = self._on_host(variables, step="inspect")
        certificate, renewal = compare(str(seen["chain"]), str(seen["public_key"]), signer, wanted)
        tidying = [authority.Difference(*entry) for entry in _triples(seen["differences"])]
        differences = renewal + tidying
        if differences and not self._task.check_mode:
            obstacles = seen["obstacles"]
            if isinstance(obstacles, list) and obstacles:
                raise authority.AuthorityFault("; ".join(str(obstacle) for obstacle in obstacles))
            if renewal:
                certificate = self._renew(variables, folder, signer, wanted)
            else:
                self._on_host(variables, step="tidy")
        answer: dict[str, object] = {
            "changed": bool(differences),
            "differences": [str(difference) for difference in differences],
            **describe(certificate),
        }
        if self._task.diff:
            answer["diff"] = {
                "before_header": str(self._task.args.get("directory", "server certificate")),
                "after_header": str(self._task.args.get("directory", "server certificate")),
                "before": "".join(f"{difference.what}: {difference.present}\n" for difference in differences),
                "after": "".join(f"{difference.what}: {difference.wanted}\n" for difference in differences),
            }
        warnings = clock_warnings(float(str(seen["time"])))
        left = authority.days_left(signer)
        if left < 2 * wanted.days:
            warnings.append(
                f"the authority of this site ({folder / AUTHORITY}) ends in {left} days. {authority.NEW_ONE}"
            )
        if warnings:
            answer["warnings"] = warnings
        return answer

    def _wanted(self) -> Wanted:
        """Check the parameters of the task."""
        text_list = {"type": "list", "elements": "str"}
        _checked, arguments = self.validate_argument_spec(
            argument_spec={
                "directory": {"type": "path"},
                "common_name": {"type": "str", "required": True},
                "dns": {**text_list, "required": True},
                "srv": {**text_list, "default": []},
                "xmpp": {**text_list, "default": []},
                "client": {"type": "bool", "default": False},
                "days": {"type": "int", "default": 90},
                "group": {"type": "str"},
            }
        )
        if arguments["days"] < 1:
            raise authority.AuthorityFault(f"days: is {arguments['days']}, allowed is a number of days from 1 on")
        dns, srv, xmpp = (tuple(arguments[kind]) for kind in ("dns", "srv", "xmpp"))
        names = authority.Names(arguments["common_name"], dns, srv, xmpp, client=arguments["client"])
        return Wanted(names, arguments["days"])

    def _signer(self, folder: Path) -> x509.Certificate:
        """Read the public certificate of the site's authority."""
        file = folder / AUTHORITY
        try:
            return authority.load_certificate(file.read_bytes(), str(file))
        except OSError as error:
            raise authority.AuthorityFault(
                f"{file}: the certificate of the site's authority cannot be read ({error.strerror}); "
                "`make new-site` makes one, a lost one comes from your backup"
            ) from None

    def _renew(
        self, variables: Mapping[str, object], folder: Path, signer: x509.Certificate, wanted: Wanted
    ) -> x509.Certificate:
        """Let the host make a key, sign for it, let the host put both in use."""
        # opened before the host is touched: a missing password leaves everything as it is
        key = read_vault(folder, passwords_of(self._loader)).get(AUTHORITY_KEY)
        if not isinstance(key, str):
            raise authority.AuthorityFault(f"{folder}: the vault has no `{AUTHORITY_KEY}`; restore it from your backup")
        ready = authority.load_authority(signer.public_bytes(serialization.Encoding.PEM), key.encode())
        asked = self._on_host(variables, step="request")
        chain = authority.sign(ready, str(asked["request"]).encode(), wanted.names, wanted.days)
        self._on_host(variables, step="install", folder=asked["folder"], chain=chain.decode())
        return authority.load_certificate(chain)


def _triples(entries: object) -> list[tuple[str, str, str]]:
    """Read the differences that the module sends: lists of three texts."""
    rows = entries if isinstance(entries, list) else []
    return [(str(what), str(present), str(wanted)) for what, present, wanted in rows]
