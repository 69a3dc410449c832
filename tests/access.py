"""Every way in, who may take it, a world to try it in, and how it is tried."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import asyncpg
import graphql
import pyotp
import pytest

from domain.identity import ANONYMOUS, Role, Viewer
from domain.refunds import Decision
from domain.staffing import StaffRole
from infra import encryption
from resolvers import refunds, risk, staffing
from schema import errors, ids, schema
from schema.context import Context
from services.identity import totp
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import people, recovery
from tests.demo.device import DeviceKey

TYPES: Any = schema._schema.type_map
FINANCE, RISK, RESIDENT = frozenset({"FINANCE"}), frozenset({"RISK"}), frozenset({"resident"})
ADMIN = frozenset({"ADMIN"})
REVIEWERS = frozenset({"SUPPORT", "COMPLIANCE", "ADMIN"})
STAFF = REVIEWERS | FINANCE | RISK | {"AUDITOR"}
ACTIVE = STAFF | RESIDENT | {"merchant"}
SIGNED_IN = ACTIVE | {"applicant"}
NEW_STAFF = frozenset({"new staff"})  # signed in without a second factor, to set one up
EVERYBODY = SIGNED_IN | NEW_STAFF | {"anonymous"}
TO_ENROL = {
    "Query.viewer", "Mutation.requestPasskeyRegistration", "Mutation.registerPasskey",
    "Mutation.enrolTotp", "Mutation.confirmTotp", "Mutation.logoutEverywhere", "Viewer.id",
    "Viewer.displayName", "Viewer.phone", "Viewer.role", "Viewer.status", "Viewer.hasPaymentPin",
    "Viewer.kycLevel", "Viewer.language", "Viewer.needsSecondFactor", "Viewer.hasTotp",
    "Viewer.passkeys",
}  # fmt: skip
"""What is open to new staff, besides what is open to everybody."""

MAY: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        (
            "Query.staff",  # null for all but staff
            "Query.consentPurposes",
            "Mutation.login",
            "Mutation.sendLoginCode",
            "Mutation.completeLogin",
            "Mutation.refreshSession",
            "Mutation.logout",
            "Mutation.requestVerificationCode",
            "Mutation.register",
            "Mutation.requestPasskeyLogin",
            "Mutation.loginWithPasskey",
            "Mutation.requestPasswordReset",
            "Mutation.requestRecoveryReview",
            "Mutation.requestNumberRelease",
            "Mutation.requestPhoneReplacement",
            "Mutation.requestPhoneReplacementReview",
            "Mutation.completePhoneReplacement",
            "Mutation.requestPasswordResetPasskey",
            "Mutation.completePasswordReset",
        ),
        EVERYBODY,
    ),
    **dict.fromkeys(
        (
            "Query.viewer",
            "Query.node",
            "Query.nodes",
            "Mutation.appealFreeze",
            "Mutation.requestStepUpChallenge",
            "Mutation.sendProofCode",
            "Mutation.changePassword",
            "Mutation.resubmitRegistration",
            "Mutation.setContactEmail",
            "Mutation.confirmContactEmail",
            "Mutation.removeContactEmail",
            "Mutation.setPostalAddress",
            "Mutation.markNoticesRead",
            "Mutation.revokeSession",
            "Mutation.objectToRecovery",
            "Mutation.revokeDevice",
            "Mutation.setNoticePreference",
            "Mutation.registerPushToken",
            "Mutation.removePushToken",
            "Mutation.giveConsent",
            "Mutation.withdrawConsent",
            "Mutation.exportMyData",
            "Mutation.endElevation",
            "Subscription.viewerStatusEvents",
            "Subscription.paymentEvents",
            "Subscription.notificationEvents",
            *(f"Viewer.{name}" for name in TYPES["Viewer"].fields),
        ),
        SIGNED_IN,
    ),
    **dict.fromkeys(
        (
            "Query.resolveQr",
            "Mutation.setPaymentPin",
            "Mutation.requestPhoneChange",
            "Mutation.confirmPhoneChange",
            "Mutation.requestPasskeyRegistration",
            "Mutation.registerPasskey",
            "Mutation.renamePasskey",
            "Mutation.removePasskey",
        ),
        ACTIVE,
    ),
    **dict.fromkeys(
        (
            "Query.recipientPreview",
            "Mutation.linkBankCard",
            "Mutation.submitIdentity",
            "Mutation.setPaymentAllowance",
            "Mutation.createTopUp",
            "Mutation.createTransfer",
            "Mutation.createPayment",
            "Mutation.confirmPayment",
            "Mutation.cancelPayment",
            "Mutation.requestRefund",
        ),
        RESIDENT,
    ),
    **dict.fromkeys(
        (
            "Mutation.reviewRegistration",
            "Staff.registrationQueue",
            "Mutation.reviewIdentity",
            "Staff.identityQueue",
        ),
        REVIEWERS,
    ),
    **dict.fromkeys(
        ("Mutation.decideRecovery", "Staff.recoveryCases"), frozenset({"SUPPORT", "COMPLIANCE"})
    ),
    **dict.fromkeys(
        ("Mutation.decideRefund", "Mutation.signRefundPolicy", "Mutation.endRefundPolicy"),
        FINANCE,
    ),
    **dict.fromkeys(("Staff.refundQueue", "Staff.refundPolicies"), FINANCE | {"AUDITOR"}),
    **dict.fromkeys(("Mutation.freezeWallet", "Mutation.unfreezeWallet"), RISK),
    **dict.fromkeys(
        ("Mutation.closeMyAccount", "Mutation.cancelClosing"), RESIDENT | {"applicant"}
    ),
    **dict.fromkeys(("Mutation.elevate", "Mutation.enrolTotp", "Mutation.confirmTotp"), STAFF),
    **dict.fromkeys(
        (
            "Mutation.appointStaff",
            "Mutation.changeStaffRole",
            "Mutation.dismissStaff",
            "Mutation.decideRoleChange",
            "Mutation.removeTotp",
        ),
        ADMIN,
    ),
    **dict.fromkeys(("Staff.members", "Staff.roleChanges"), ADMIN | {"AUDITOR"}),
    "Mutation.endSessions": RISK | ADMIN,
    "Staff.resident": RISK | {"SUPPORT", "COMPLIANCE"},
    "Staff.residentInFull": RISK | {"COMPLIANCE"},
    "Mutation.staffFreezeForCaller": RISK | {"SUPPORT"},
    "Subscription.transactionEvents": RESIDENT | {"merchant"},
    **dict.fromkeys(
        (
            "Mutation.freezeMyWallet",
            "Mutation.unfreezeMyWallet",
            "Mutation.requestPaymentChallenge",
        ),
        RESIDENT | {"merchant"},
    ),
    "Staff.riskCases": RISK | {"AUDITOR"},
    "Mutation.logoutEverywhere": SIGNED_IN,  # the last one: nobody is signed in after it
    **dict.fromkeys(("Staff.auditLog", "Staff.keyRotation"), frozenset({"AUDITOR", "ADMIN"})),
    "Mutation.rotateKeys": frozenset({"ADMIN"}),
}
MAY |= {way: MAY[way] | NEW_STAFF for way in TO_ENROL}
"""Every way in, and who may take it. A new one has to be written down here."""

ELEVATED = {
    "Mutation.rotateKeys",
    "Mutation.unfreezeWallet",
    "Mutation.signRefundPolicy",
    "Mutation.reviewRegistration",
    "Staff.registrationQueue",
    "Mutation.reviewIdentity",
    "Staff.identityQueue",
    "Staff.residentInFull",
    "Mutation.appointStaff",
    "Mutation.changeStaffRole",
    "Mutation.dismissStaff",
    "Mutation.decideRoleChange",
    "Mutation.removeTotp",
    "Mutation.decideRecovery",
    "Staff.recoveryCases",
    "Mutation.endSessions",
}
"""What asks of whoever may do it that they have just proved anew who they are."""

DENIED = {
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "ACCOUNT_NOT_ACTIVE",
    "NO_STAFF",
    "SECOND_FACTOR_REQUIRED",
}
# Who looked, and how often somebody tried: these are meant to grow.
TRACES = ("audit_entry", "login_throttle", "recipient_lookup")


@dataclass(frozen=True, slots=True)
class World:
    """Who asks, and real objects to ask for, all of them somebody else's."""

    callers: dict[str, Viewer]
    plain: dict[str, Viewer]
    samples: dict[str, Any]


@pytest.fixture
async def world(counter: object, superuser: asyncpg.Connection) -> World:
    payer = await town.resident(balance=50_000, allowance=(20_000, 10))
    _, shop = await town.shop()
    paid, waiting = await town.pay(payer, shop, 3_000), await town.pay(payer, shop, 30_000)
    refund = await refunds.request_refund(
        payer, payment_id=paid.id, reason="没有收到货", key=town.key("refund")
    )
    finance, desk = await people.staff(Role.FINANCE), await people.staff(Role.RISK)
    policy = await refunds.sign_policy(
        finance, amount_max_minor=1, payment_age_max_hours=1, refunds_max=1
    )
    frozen = await town.resident("李小龙")
    case, _ = await risk.freeze_wallet(
        desk, user_id=frozen.user_id, reason="盗用", key=town.key("freeze")
    )
    applicant = (await people.registered(superuser, people.phone())).viewer
    merchant, _ = await town.shop("海边咖啡")
    callers = {
        "anonymous": ANONYMOUS,
        "applicant": applicant,
        "resident": await town.resident("赵小云"),
        "merchant": merchant,
        **{role.name: await people.staff(role) for role in Role if role.name in STAFF},
        "new staff": await people.staff(Role.ADMIN, second_factor=False),
    }
    stranger = await people.registered(superuser, people.phone())
    another = stranger.viewer
    lost = await recovery.owner(superuser)
    asked = await recovery.review_asked(superuser, lost)
    plain = {name: await people.signed_in(callers[name].user_id) for name in sorted(STAFF)}
    number = people.phone()
    await town.resident("何家乐", number=number)
    leaving, admin = await people.staff(Role.SUPPORT), await people.staff(Role.ADMIN)
    members = [leaving, *(callers[name] for name in sorted(STAFF))]
    secret = await _shared_authenticator([member.user_id for member in members])
    await town.resident("新管理员", number=(candidate := people.phone()))
    proposed = await staffing.appoint_staff(
        admin, phone=candidate, role=StaffRole.ADMIN, reason="入职"
    )
    await town.resident("何家欢", number=(calling := people.phone()))
    samples = {
        "recoveryCaseId": ids.encode("RecoveryCase", asked.id),
        "refundId": ids.encode("Refund", refund.id),
        "paymentId": ids.encode("Payment", waiting.id),
        "policyId": ids.encode("RefundPolicy", policy.policy.id),
        "caseId": ids.encode("RiskCase", case.id),
        "userId": ids.encode("User", payer.user_id),
        "registrationId": ids.encode("Registration", another.user_id),
        "merchantId": ids.encode("Merchant", shop.id),
        "challengeId": ids.encode("ProofChallenge", uuid.uuid4()),
        "passkeyId": ids.encode("Passkey", uuid.uuid4()),
        "bankCardId": ids.encode("BankCard", paid.id),
        "closingId": ids.encode("Closing", paid.id),
        "id": ids.encode("Payment", paid.id),
        "ids": [ids.encode("Payment", paid.id)],
        "sessionId": ids.encode("Session", stranger.session.session_id),
        "deviceId": ids.encode("Device", stranger.device.id),
        "device": DeviceKey().input(),
        "decision": Decision.APPROVE.value,
        "pin": people.PIN,
        "password": people.PASSWORD,
        "phone": number,
        "staffId": ids.encode("User", (await people.staff(Role.AUDITOR)).user_id),
        "changeId": ids.encode("RoleChange", proposed.id),
        "RemoveTotpInput": {"staffId": ids.encode("User", leaving.user_id), "reason": "手机丢失"},
        "StaffFreezeForCallerInput": lambda: {
            "phone": calling,
            "name": "何家欢",
            "level": "FULL",
            "reason": "手机丢失，来电挂失",
            "idempotencyKey": town.key("call"),
        },
        "role": "RISK",
        "StaffProofInput": lambda: {"totp": _code(secret)},
        "level": "FULL",
        "at": "2026-11-01T00:00:00Z",
        "after": "nonsense",
    }
    return World(callers, plain, samples)


async def _shared_authenticator(user_ids: list[int]) -> str:
    """Authenticators that all show the same codes; each member of staff may use each code once."""
    secret = pyotp.random_base32()
    async with unit_of_work() as work:
        for user_id in user_ids:
            await work.execute(
                "insert into totp(user_id, secret, confirmed_at) values ($1, $2, $3)",
                user_id,
                encryption.encrypt(totp.SECRET, user_id, secret),
                work.now,
            )
    return secret


def _code(secret: str) -> str:
    return pyotp.TOTP(secret).now()


def sample(name: str, kind: Any, world: World) -> Any:
    """A value that is right by its type; real where it names something."""
    if graphql.is_non_null_type(kind):
        kind = kind.of_type
    kept = world.samples.get(name, world.samples.get(getattr(kind, "name", "")))
    if callable(kept):
        return kept()
    if kept is not None and not (graphql.is_enum_type(kind) and kept not in kind.values):
        return kept
    if graphql.is_input_object_type(kind) and kind.is_one_of:
        one, field = next(iter(kind.fields.items()))
        return {one: sample(one, graphql.GraphQLNonNull(field.type), world)}
    if graphql.is_input_object_type(kind):
        return {
            one: sample(one, field.type, world)
            for one, field in kind.fields.items()
            if graphql.is_required_input_field(field)
        }
    if graphql.is_list_type(kind):
        return [sample(name, kind.of_type, world)]
    if graphql.is_enum_type(kind):
        return next(iter(kind.values))
    text = town.key("text")
    simple = {"Int": 1, "Boolean": True, "Decimal": "1.00", "String": text, "ID": text}
    return simple[kind.name]


def operation(way_in: str, world: World) -> tuple[str, dict[str, Any]]:
    """A document that asks for one root field, and its variables."""
    root, name = way_in.split(".")
    field = TYPES[root].fields[name]
    needed = {
        one: argument
        for one, argument in field.args.items()
        if graphql.is_required_argument(argument) or root == "Subscription"
    }
    variables = {one: sample(one, argument.type, world) for one, argument in needed.items()}
    declared = ", ".join(f"${one}: {argument.type}" for one, argument in needed.items())
    given = ", ".join(f"{one}: ${one}" for one in needed)
    asked = name + (f"({given})" if given else "")
    kind = graphql.get_named_type(field.type)
    if graphql.is_union_type(kind) and any(one.name.endswith("Error") for one in kind.types):
        asked += " { __typename ... on Error { code } }"
    elif not graphql.is_leaf_type(kind):
        asked += " { __typename }"
    if root in ("Viewer", "Staff"):
        root, asked = "query", f"{root.lower()} {{ {asked} }}"
    return f"{root.lower()} X{f'({declared})' if declared else ''} {{ {asked} }}", variables


async def outcome(way_in: str, caller: Viewer, world: World) -> str:
    """The code of what it led to, or DONE."""
    document, variables = operation(way_in, world)
    context = Context(viewer=caller, address="192.0.2.9")
    if document.startswith("subscription"):
        result: Any = await first(document, variables, context)
    else:
        result = await schema.execute(document, variables, context_value=context)
    for error in result.errors or ():
        shown = errors.presented(error.original_error, "en") if error.original_error else None
        return shown[0] if shown else error.extensions.get("code", f"BUG {error!r}")
    [data] = result.data.values()
    if way_in.startswith("Staff.") and data is None:
        return "NO_STAFF"
    return data.get("code", "DONE") if isinstance(data, dict) else "DONE"


async def first(document: str, variables: dict[str, Any], context: Context) -> Any:
    stream: Any = await schema.subscribe(document, variables, context_value=context)
    if not isinstance(stream, AsyncIterator):
        return stream
    async with aclosing(stream) as opened:  # type: ignore[type-var]
        return await anext(opened)


async def fingerprints(superuser: asyncpg.Connection) -> dict[str, tuple[int, int]]:
    """Rows and content of every table of the application, by its name."""
    tables = await superuser.fetch(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables"
        " where schemaname in ('public', 'ledger') and tablename <> all($1)",
        TRACES,
    )
    found = {}
    for table in tables:
        row = await superuser.fetchrow(
            "select count(*), coalesce(sum(hashtext(t::text)::bigint), 0)::bigint"
            f" from {table['name']} t"
        )
        assert row is not None
        found[table["name"]] = (row[0], row[1])
    return found
