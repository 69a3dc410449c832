"""Where a user is told of things: preferences by group, and the push token of the app."""

from __future__ import annotations

import strawberry

from domain import notices as domain
from domain import refusals as no
from resolvers import notices
from schema import enums, fields
from schema.context import Info
from services.notice_channels import Preferences

enums.described(
    domain.NoticeGroup,
    "NoticeGroup",
    "Notices that a user switches on and off together.",
    PAYMENTS="Payments, transfers and top-ups.",
    REFUNDS="Refunds, from request to decision.",
    SECURITY="Freezes, and whatever changes who can act for the user. Always told everywhere.",
    ACCOUNT="The registration and the state of the account.",
    SERVICE="Advice and reminders.",
)
enums.described(
    domain.NoticeChannel,
    "NoticeChannel",
    "A way to be told.",
    APP="The list of notices in the app. Always on.",
    SMS="A text message to the registered phone.",
    PUSH="A push message to each app that has registered a token.",
)
enums.described(
    domain.PushPlatform,
    "PushPlatform",
    "Whose push service a token is of.",
    IOS="Apple's.",
    ANDROID="Of an Android phone.",
    HARMONY="Of a HarmonyOS phone.",
)


@strawberry.type(description="On which channels the caller is told of a group of notices.")
class NoticePreference:
    """One group; what was not decided is as usual."""

    group: domain.NoticeGroup = strawberry.field(description="The group.")
    app: bool = strawberry.field(description="Whether it is listed in the app. Always true.")
    sms: bool = strawberry.field(description="Whether it is sent as a text message.")
    push: bool = strawberry.field(description="Whether it is pushed to the caller's apps.")
    changeable: bool = strawberry.field(
        description="Whether `setNoticePreference` may switch `sms` and `push`."
    )

    @classmethod
    def all(cls, preferences: Preferences) -> list[NoticePreference]:
        return [
            cls(
                group=group,
                app=domain.NoticeChannel.APP in channels,
                sms=domain.NoticeChannel.SMS in channels,
                push=domain.NoticeChannel.PUSH in channels,
                changeable=domain.changeable(group, domain.NoticeChannel.SMS),
            )
            for group, channels in preferences.items()
        ]


@strawberry.type
class NoticeSettingsViewer:
    """The part of Viewer about where notices are told."""

    @fields.query_field(
        calls=notices.preferences,
        description="On which channels the caller is told of each group of notices.",
    )
    async def notice_preferences(self, info: Info) -> list[NoticePreference]:
        return NoticePreference.all(await notices.preferences(info.context.viewer))


@strawberry.input(description="A decision about one channel of a group of notices.")
class SetNoticePreferenceInput:
    """See `resolvers.notices.set_preference`."""

    group: domain.NoticeGroup = strawberry.field(description="The group.")
    channel: domain.NoticeChannel = strawberry.field(description="The channel to switch.")
    enabled: bool = strawberry.field(description="On or off.")


@strawberry.input(description="How to reach the app by push.")
class RegisterPushTokenInput:
    """See `resolvers.notices.register_push_token`."""

    token: str = strawberry.field(
        description="As the phone's push service gave it: 8 to 4096 visible ASCII characters."
    )
    platform: domain.PushPlatform = strawberry.field(description="Whose push service that is.")


@strawberry.input(description="The app that is to get no more push messages.")
class RemovePushTokenInput:
    """See `resolvers.notices.remove_push_token`."""

    token: str = strawberry.field(description="As it was registered.")


@strawberry.type(description="Kept.")
class SetNoticePreferenceSuccess:
    """All preferences, as of now."""

    notice_preferences: list[NoticePreference] = strawberry.field(
        description="On which channels the caller is told of each group now."
    )


@strawberry.type(description="The app of this session gets push messages.")
class RegisterPushTokenSuccess:
    """Until the session ends, or another session registers the same token."""

    registered: bool = strawberry.field(description="Always true.")


@strawberry.type(description="The app gets no push messages.")
class RemovePushTokenSuccess:
    """Also if it never did."""

    removed: bool = strawberry.field(description="Always true.")


@strawberry.type
class NoticeSettingsMutation:
    """The part of Mutation about where notices are told."""

    @fields.mutation(
        calls=notices.set_preference,
        description="Switch a channel of a group of notices on or off. What is told in the app, "
        "and all about security, stays on.",
        refuses=(no.NoticeMandatory,),
    )
    async def set_notice_preference(
        self, info: Info, input: SetNoticePreferenceInput
    ) -> SetNoticePreferenceSuccess:
        found = await notices.set_preference(
            info.context.viewer, group=input.group, channel=input.channel, enabled=input.enabled
        )
        return SetNoticePreferenceSuccess(notice_preferences=NoticePreference.all(found))

    @fields.mutation(
        calls=notices.register_push_token,
        description="Have push messages sent to this session's app; they end with the session. "
        "A new token replaces the session's old one.",
    )
    async def register_push_token(
        self, info: Info, input: RegisterPushTokenInput
    ) -> RegisterPushTokenSuccess:
        await notices.register_push_token(
            info.context.viewer, token=input.token, platform=input.platform
        )
        return RegisterPushTokenSuccess(registered=True)

    @fields.mutation(
        calls=notices.remove_push_token,
        description="Send no more push messages to one of the caller's apps.",
    )
    async def remove_push_token(
        self, info: Info, input: RemovePushTokenInput
    ) -> RemovePushTokenSuccess:
        await notices.remove_push_token(info.context.viewer, token=input.token)
        return RemovePushTokenSuccess(removed=True)
