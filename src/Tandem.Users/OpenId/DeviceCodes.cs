using System.Security.Claims;
using System.Security.Cryptography;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Users.Audit;
using Tandem.Users.Tickets;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.OpenId;

/// <summary>
/// Devices without a keyboard or a browser (RFC 8628): each has a long code of its own, with which it asks again and again, and a short one that its person types on <see cref="DevicePages"/>. OpenIddict reads
/// and answers; what it would store is a row here, with the digests of both.
/// </summary>
sealed class DeviceCodes(Db db, AuditTrail trail, UsersOptions options, TimeProvider clock)
{
    /// <summary>How long a device waits between two questions, in seconds (RFC 8628, 3.2).</summary>
    public const int PollSeconds = 5;

    // RFC 8628, 6.1: no vowels, so no words, nothing to be mistaken for a digit, and upper case alone. 20^8 are 34 bits.
    const string Alphabet = "BCDFGHJKLMNPQRSTVWXZ";
    const int Letters = 8;

    // What a device that never listens is slowed down to.
    const int MaxPollSeconds = 60;

    // A device that comes late is told so, and not that there is no such code.
    static readonly TimeSpan Remembered = TimeSpan.FromMinutes(10);

    const string DeviceProperty = "tandem:device-code";
    const string UserProperty = "tandem:user-code";

    /// <summary>Begins to wait for a person.</summary>
    public async ValueTask AskAsync(HandleDeviceAuthorizationRequestContext context)
    {
        var (device, now, scopes) = (Secret.New(), clock.UtcNow(), string.Join(' ', context.Request.GetScopes()));
        string user;
        do
            user = NewUserCode();
        while (await db.ExecuteAsync($"""
            insert into users_device_codes (digest, user_digest, client_id, scopes, is_denied, poll_seconds, polled_at, expires_at)
            values ({Secret.Digest(device)}, {DigestOf(user)}, {context.ClientId}, {scopes}, {false}, {PollSeconds}, {now.AddSeconds(-PollSeconds)}, {now + options.DeviceCodeLifetime})
            on conflict (user_digest) do nothing
            """, OpenIdServer.HttpOf(context).RequestAborted) == 0);
        context.Transaction.SetProperty(DeviceProperty, device);
        context.Transaction.SetProperty(UserProperty, user);
    }

    /// <summary>Has the codes of the row given out.</summary>
    public static ValueTask Tell(GenerateTokenContext context)
    {
        if (context.TokenType is TokenTypeIdentifiers.Private.DeviceCode)
            context.Token = context.Transaction.GetProperty<string>(DeviceProperty);
        else if (context.TokenType is TokenTypeIdentifiers.Private.UserCode)
            context.Token = context.Transaction.GetProperty<string>(UserProperty);
        return ValueTask.CompletedTask;
    }

    /// <summary>Says to a device that asks again how it stands.</summary>
    public async ValueTask PollAsync(ValidateTokenContext context)
    {
        if (!context.ValidTokenTypes.SetEquals([TokenTypeIdentifiers.Private.DeviceCode]))
            return;
        var (client, now) = (context.Transaction.Request?.ClientId ?? "", clock.UtcNow());
        var digest = Secret.Digest(context.Token);
        var (error, description) = await db.InTransactionAsync<(string?, string?)>(async tx =>
        {
            var row = await tx.FindAsync<Row>($"""
                update users_device_codes set client_id = client_id where digest = {digest} and client_id = {client} returning account_id, is_denied, poll_seconds, polled_at, expires_at
                """, CancellationToken.None);
            if (row is null)
                return (Errors.InvalidGrant, ClientProblems.InvalidDeviceCode.Detail);
            if (row.IsDenied)
                return (Errors.AccessDenied, ClientProblems.DeviceDenied.Detail);
            if (row.ExpiresAt <= now)
                return (Errors.ExpiredToken, ClientProblems.DeviceCodeExpired.Detail);
            if (row.AccountId is not null)
                return (null, null);
            // Half a second for clocks and networks that are not even.
            var isEarly = now - row.PolledAt < TimeSpan.FromSeconds(row.PollSeconds - 0.5);
            var pause = isEarly ? Math.Min(row.PollSeconds + 5, MaxPollSeconds) : row.PollSeconds;
            await tx.ExecuteAsync($"update users_device_codes set polled_at = {now}, poll_seconds = {pause} where digest = {digest}", CancellationToken.None);
            return isEarly ? (Errors.SlowDown, ClientProblems.DeviceTooFast.Detail) : (Errors.AuthorizationPending, ClientProblems.DevicePending.Detail);
        }, OpenIdServer.HttpOf(context).RequestAborted);
        if (error is not null)
        {
            context.Reject(error, description);
            return;
        }

        var identity = new ClaimsIdentity("Device");
        identity.SetTokenType(TokenTypeIdentifiers.Private.DeviceCode);
        identity.SetPresenters(client);
        identity.SetClaim(ClientGrants.ClientClaim, client);
        context.Principal = new ClaimsPrincipal(identity);
    }

    /// <param name="userCode">As a person has typed it.</param>
    /// <param name="ct">Ends the wait.</param>
    /// <returns>The device that waits under this code; null when there is none, it has expired or was answered.</returns>
    public Task<WaitingDevice?> FindAsync(string userCode, CancellationToken ct) => db.FindAsync<WaitingDevice>($"""
        select client_id, scopes from users_device_codes where user_digest = {DigestOf(userCode)} and account_id is null and not is_denied and expires_at > {clock.UtcNow()}
        """, ct);

    /// <summary>Lets a device in.</summary>
    /// <param name="device">Which.</param>
    /// <param name="userCode">As a person has typed it.</param>
    /// <param name="browser">Who lets it in.</param>
    /// <param name="scopes">What it gets.</param>
    /// <param name="origin">Who does it.</param>
    /// <param name="ct">Honoured until the change begins.</param>
    /// <returns>False when it was answered before, or has expired.</returns>
    public Task<bool> AllowAsync(WaitingDevice device, string userCode, Browser browser, string[] scopes, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var (granted, now) = (string.Join(' ', scopes), clock.UtcNow());
        if (await tx.ExecuteAsync($"""
            update users_device_codes set account_id = {browser.AccountId}, browser_id = {browser.SessionId}, scopes = {granted}
            where user_digest = {DigestOf(userCode)} and account_id is null and not is_denied and expires_at > {now}
            """, CancellationToken.None) == 0)
            return false;
        await trail.AddAsync(tx, AuditEvents.DeviceAllowed, origin, browser.AccountId, now, $"{device.ClientId}: {granted}");
        return true;
    }, ct);

    /// <summary>Turns a device away.</summary>
    /// <inheritdoc cref="AllowAsync"/>
    public Task<bool> DenyAsync(WaitingDevice device, string userCode, Browser browser, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var now = clock.UtcNow();
        if (await tx.ExecuteAsync($"""
            update users_device_codes set is_denied = {true} where user_digest = {DigestOf(userCode)} and account_id is null and not is_denied and expires_at > {now}
            """, CancellationToken.None) == 0)
            return false;
        await trail.AddAsync(tx, AuditEvents.DeviceDenied, origin, browser.AccountId, now, device.ClientId);
        return true;
    }, ct);

    /// <summary>Deletes codes that expired a while ago, a bounded number at a time.</summary>
    public async Task SweepAsync(CancellationToken ct)
    {
        const int BatchSize = 500;
        while (await db.ExecuteAsync($"""
            delete from users_device_codes where digest in (select digest from users_device_codes where expires_at < {clock.UtcNow() - Remembered} limit {BatchSize})
            """, ct) == BatchSize)
        {
        }
    }

    /// <summary>Such as <c>WDJB-MJHT</c>.</summary>
    static string NewUserCode() => RandomNumberGenerator.GetString(Alphabet, Letters).Insert(Letters / 2, "-");

    static string DigestOf(string userCode) => Secret.Digest("device", userCode);

    sealed record Row(long? AccountId, bool IsDenied, int PollSeconds, DateTime PolledAt, DateTime ExpiresAt);
}

/// <param name="ClientId">Whose device it is.</param>
/// <param name="Scopes">What it asks for.</param>
sealed record WaitingDevice(string ClientId, string Scopes);
