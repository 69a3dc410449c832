"""Passkeys, as clients see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import strawberry

from domain import proofs as domain
from domain import refusals as no
from resolvers import passkeys
from resolvers.viewer import Viewer as Caller
from schema import callers, devices, fields, ids, nodes, sessions
from schema.callers import LazyViewer
from schema.context import Info
from services.identity.passkeys import Passkey as Row


@strawberry.type(description="A passkey of the caller's: a key inside a device, behind its lock.")
class Passkey(nodes.Node):
    """As `services.identity.passkeys.Passkey`."""

    name: str = strawberry.field(description="What its owner calls it.")
    synced: bool = strawberry.field(
        description="Whether the owner's other devices have it, too, by their maker's cloud."
    )
    created_at: datetime = strawberry.field(description="When it was added.")
    last_used_at: datetime | None = strawberry.field(description="When it last proved something.")

    @classmethod
    def of(cls, row: Row) -> Passkey:
        return cls(
            id=strawberry.ID(ids.encode("Passkey", row.id)),
            name=row.name,
            synced=row.synced,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
        )


@strawberry.type(description="What to ask the browser's authenticator.")
class PasskeyChallenge:
    """Good once, for five minutes."""

    id: strawberry.ID = strawberry.field(description="Goes back with the authenticator's answer.")
    expires_at: datetime = strawberry.field(description="When it stops being good.")
    options: str = strawberry.field(
        description="JSON for `PublicKeyCredential.parseCreationOptionsFromJSON` (to register) or "
        "`parseRequestOptionsFromJSON` (to sign in)."
    )

    @classmethod
    def of(cls, asked: passkeys.Asked) -> PasskeyChallenge:
        return cls(
            id=strawberry.ID(ids.encode("ProofChallenge", asked.id)),
            expires_at=asked.expires_at,
            options=asked.options,
        )


@strawberry.input(description="The wish to add a passkey.")
class RequestPasskeyRegistrationInput:
    """See `resolvers.passkeys.request_passkey_registration`."""

    password: str = strawberry.field(description="The login password, to prove who asks.")


@strawberry.type(description="The browser can make a passkey.")
class RequestPasskeyRegistrationSuccess:
    """For `navigator.credentials.create`."""

    challenge: PasskeyChallenge = strawberry.field(description="What to ask it.")


@strawberry.input(description="A new passkey.")
class RegisterPasskeyInput:
    """See `resolvers.passkeys.register_passkey`."""

    challenge_id: strawberry.ID = strawberry.field(description="The challenge that it answers.")
    credential: str = strawberry.field(
        description="What the browser made, as JSON: `JSON.stringify(credential)`."
    )
    name: str = strawberry.field(description="What to call it, up to 40 characters.")


@strawberry.type(description="The passkey is added.")
class RegisterPasskeySuccess:
    """The caller is told by a notice, too."""

    passkey: Passkey = strawberry.field(description="The passkey.")


@strawberry.input(description="A passkey's new name.")
class RenamePasskeyInput:
    """See `resolvers.passkeys.rename_passkey`."""

    passkey_id: strawberry.ID = strawberry.field(description="The passkey.")
    name: str = strawberry.field(description="What to call it, up to 40 characters.")


@strawberry.type(description="The passkey has its new name.")
class RenamePasskeySuccess:
    """The passkey as it is now."""

    passkey: Passkey = strawberry.field(description="The passkey.")


@strawberry.input(description="The end of a passkey.")
class RemovePasskeyInput:
    """See `resolvers.passkeys.remove_passkey`."""

    passkey_id: strawberry.ID = strawberry.field(description="The passkey.")
    password: str = strawberry.field(description="The login password, to prove who asks.")
    accept_remaining: bool | None = strawberry.field(
        default=None, description="Remove it also if it is the last one."
    )


@strawberry.type(description="The passkey is accepted no more.")
class RemovePasskeySuccess:
    """The caller is told by a notice, too."""

    remaining: list[domain.Method] = strawberry.field(
        description="What is left to prove the caller's identity with; maybe nothing."
    )
    viewer: LazyViewer = strawberry.field(description="The caller.")


@strawberry.input(description="The wish to sign in by a passkey.")
class RequestPasskeyLoginInput:
    """See `resolvers.passkeys.request_passkey_login`."""

    origin: str = strawberry.field(description="Of the page that asks: `location.origin`.")


@strawberry.type(description="The browser can ask for a passkey.")
class RequestPasskeyLoginSuccess:
    """For `navigator.credentials.get`."""

    challenge: PasskeyChallenge = strawberry.field(description="What to ask it.")


@strawberry.input(description="A passkey's answer.")
class LoginWithPasskeyInput:
    """See `resolvers.passkeys.login_with_passkey`."""

    challenge_id: strawberry.ID = strawberry.field(description="The challenge that it answers.")
    credential: str = strawberry.field(
        description="What the browser made, as JSON: `JSON.stringify(credential)`."
    )
    device: devices.DeviceInput = strawberry.field(
        description="The device that signs in, to be known from now on."
    )


@strawberry.type(description="Signed in.")
class LoginWithPasskeySuccess:
    """A new session."""

    session: sessions.SessionTokens = strawberry.field(description="The tokens of the new session.")
    viewer: LazyViewer = strawberry.field(description="Who signed in.")
    device: devices.Device = strawberry.field(description="The device that the session is on.")


@strawberry.type
class PasskeyViewer:
    """The part of Viewer about passkeys."""

    @fields.query_field(
        calls=passkeys.mine, description="The caller's passkeys, oldest first; ten at most."
    )
    async def passkeys(self, info: Info) -> list[Passkey]:
        return [Passkey.of(row) for row in await passkeys.mine(info.context.viewer)]


@strawberry.type
class PasskeyMutation:
    """The part of Mutation about passkeys."""

    @fields.mutation(
        calls=passkeys.request_passkey_registration,
        costly=True,
        description="Begin to add a passkey, with the password.",
        refuses=(no.WrongCredentials, no.AccountNotActive),
    )
    async def request_passkey_registration(
        self, info: Info, input: RequestPasskeyRegistrationInput
    ) -> RequestPasskeyRegistrationSuccess:
        asked = await passkeys.request_passkey_registration(
            info.context.viewer, password=input.password, address=info.context.address
        )
        return RequestPasskeyRegistrationSuccess(challenge=PasskeyChallenge.of(asked))

    @fields.mutation(
        calls=passkeys.register_passkey,
        description="Add the passkey that the browser made, in the session that asked for it.",
        refuses=(no.ChallengeInvalid, no.PasskeyInvalid, no.AccountNotActive),
    )
    async def register_passkey(
        self, info: Info, input: RegisterPasskeyInput
    ) -> RegisterPasskeySuccess:
        row = await passkeys.register_passkey(
            info.context.viewer,
            challenge_id=challenge_id(input.challenge_id),
            credential=input.credential,
            name=input.name,
        )
        return RegisterPasskeySuccess(passkey=Passkey.of(row))

    @fields.mutation(
        calls=passkeys.rename_passkey,
        description="Call a passkey otherwise.",
        refuses=(no.NotFound, no.AccountNotActive),
    )
    async def rename_passkey(self, info: Info, input: RenamePasskeyInput) -> RenamePasskeySuccess:
        row = await passkeys.rename_passkey(
            info.context.viewer, passkey_id=_passkey_id(input.passkey_id), name=input.name
        )
        return RenamePasskeySuccess(passkey=Passkey.of(row))

    @fields.mutation(
        calls=passkeys.remove_passkey,
        costly=True,
        description="Accept a passkey no more, with the password.",
        refuses=(
            no.NotFound,
            no.LastPasskey,
            no.LastSecondFactor,
            no.WrongCredentials,
            no.AccountNotActive,
        ),
    )
    async def remove_passkey(self, info: Info, input: RemovePasskeyInput) -> RemovePasskeySuccess:
        remaining = await passkeys.remove_passkey(
            info.context.viewer,
            passkey_id=_passkey_id(input.passkey_id),
            password=input.password,
            accept_remaining=bool(input.accept_remaining),
            address=info.context.address,
        )
        return RemovePasskeySuccess(remaining=remaining, viewer=callers.of(info.context.viewer))

    @fields.mutation(
        calls=passkeys.request_passkey_login,
        costly=True,
        description="Begin to sign in by a passkey; nobody has to be named.",
    )
    async def request_passkey_login(
        self, info: Info, input: RequestPasskeyLoginInput
    ) -> RequestPasskeyLoginSuccess:
        asked = await passkeys.request_passkey_login(
            info.context.viewer, origin=input.origin, address=info.context.address
        )
        return RequestPasskeyLoginSuccess(challenge=PasskeyChallenge.of(asked))

    @fields.mutation(
        calls=passkeys.login_with_passkey,
        description="Sign in by a passkey alone: device and fingerprint, face or code are two "
        "factors.",
        refuses=(no.ChallengeInvalid, no.PasskeyInvalid, no.AccountNotActive),
    )
    async def login_with_passkey(
        self, info: Info, input: LoginWithPasskeyInput
    ) -> LoginWithPasskeySuccess:
        signed_in = await passkeys.login_with_passkey(
            info.context.viewer,
            challenge_id=challenge_id(input.challenge_id),
            credential=input.credential,
            device=input.device.described(),
            address=info.context.address,
        )
        return LoginWithPasskeySuccess(
            session=sessions.SessionTokens.of(signed_in.session),
            viewer=callers.of(signed_in.viewer),
            device=devices.Device.of(signed_in.device, signed_in.viewer),
        )


def challenge_id(id: str) -> UUID:
    """The challenge of a global id. Raises ChallengeInvalid for any other text."""
    found = nodes.uuid_of(id, "ProofChallenge")
    if found is None:
        raise no.ChallengeInvalid(path=("input", "challengeId"))
    return found


def _passkey_id(id: str) -> UUID:
    found = nodes.uuid_of(id, "Passkey")
    if found is None:
        raise no.NotFound(path=("input", "passkeyId"))
    return found


async def _load(viewer: Caller, keys: list[str]) -> Mapping[str, Passkey]:
    rows = await passkeys.by_ids(viewer, nodes.uuids(keys))
    return {str(key): Passkey.of(row) for key, row in rows.items()}


nodes.loads("Passkey", _load)
