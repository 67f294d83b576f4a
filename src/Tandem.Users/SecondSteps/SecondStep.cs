using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Mailing;
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;

namespace Tandem.Users.SecondSteps;

/// <summary>The second step of a sign-in: an authenticator app, and ten codes on paper for the day that it is lost.</summary>
sealed class SecondStep(Db db, Keys keys, Ownership ownership, Sessions sessions, AuditTrail trail, IRateLimits limits, MailOptions mail, UsersOptions options, TimeProvider clock,
    ILogger<SecondStep> logger)
{
    public const int RecoveryCodes = 10;

    const string ByAccount = "users/second-step";
    const string ByFamiliar = "users/second-step-familiar";

    static readonly TimeSpan Day = TimeSpan.FromDays(1);

    public async Task<bool> IsOnAsync(long accountId, CancellationToken ct) =>
        await db.FindAsync<long>($"select count(*) from users_totp where account_id = {accountId} and confirmed_at is not null", ct) > 0;

    public async Task<int> RecoveryCodesLeftAsync(long accountId, CancellationToken ct) => await db.FindAsync<int>($"select count(*) from users_recovery_codes where account_id = {accountId}", ct);

    /// <summary>Begins to set an app up; until it has shown a code, nothing changes.</summary>
    /// <exception cref="ProblemException">There is an app already.</exception>
    public async Task<TotpSetup> BeginAsync(Account account, CancellationToken ct)
    {
        var secret = RandomNumberGenerator.GetBytes(Totp.SecretBytes);
        bool? begun;
        do
        {
            var (keyId, box) = await keys.SealAsync(secret, Purpose(account.Id), ct);
            begun = await StoreAsync(account.Id, keyId, box, ct);
        }
        while (begun is null);
        if (begun == false)
            throw new ProblemException(UserProblems.SecondStepIsOn);
        var text = Totp.Base32(secret);
        var uri = Totp.Uri(mail.Product, account.Email, text);
        return new TotpSetup(text, uri, QrPicture.Svg(uri));
    }

    /// <summary>Stores a sealed secret, if the key that it is sealed with is still there.</summary>
    /// <remarks>That is looked at in the transaction of the change, as a revocation looks in its own for what is sealed: of the two, one sees the other.</remarks>
    /// <returns>False when the account has an app already; null when the key was revoked since: seal anew.</returns>
    internal Task<bool?> StoreAsync(long accountId, string keyId, byte[] box, CancellationToken ct) => db.InTransactionAsync(async tx =>
        await tx.FindAsync<long>($"select count(*) from users_signing_keys where id = {keyId}", ct) == 0
            ? (bool?)null
            : await tx.ExecuteAsync($"""
                insert into users_totp (account_id, key_id, secret, last_step, created_at) values ({accountId}, {keyId}, {box}, 0, {clock.UtcNow()})
                on conflict (account_id) do update set key_id = excluded.key_id, secret = excluded.secret, created_at = excluded.created_at where users_totp.confirmed_at is null
                """, ct) == 1, ct);

    /// <summary>Switches the second step on, when the app shows the right code.</summary>
    /// <returns>The recovery codes; null for a wrong code.</returns>
    public async Task<string[]?> ConfirmAsync(Account account, string code, Origin origin, CancellationToken ct)
    {
        if (await StepOfAsync(account.Id, code, confirmed: false, ct) is not { } step)
            return null;
        var (codes, now) = (NewCodes(), clock.UtcNow());
        return await db.InTransactionAsync(async tx =>
        {
            if (await tx.ExecuteAsync($"update users_totp set confirmed_at = {now}, last_step = {step} where account_id = {account.Id} and confirmed_at is null", ct) == 0)
                return null;
            await ReplaceCodesAsync(tx, account.Id, codes);
            await trail.AddAsync(tx, AuditEvents.SecondStepOn, origin, account.Id, now);
            await ownership.NoticeAsync(tx, account.Email, now, "app-set-up");
            return codes;
        }, ct);
    }

    /// <returns>False when it was off.</returns>
    public Task<bool> SwitchOffAsync(Account account, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var now = clock.UtcNow();
        if (!await UserTable.ForgetSecondStepAsync(tx, account.Id))
            return false;
        await trail.AddAsync(tx, AuditEvents.SecondStepOff, origin, account.Id, now);
        await ownership.NoticeAsync(tx, account.Email, now, "app-removed");
        return true;
    }, ct);

    /// <summary>Makes ten new recovery codes; those from before are worth nothing.</summary>
    /// <returns>Null while the second step is off.</returns>
    public async Task<string[]?> RenewCodesAsync(long accountId, Origin origin, CancellationToken ct)
    {
        var codes = NewCodes();
        return await db.InTransactionAsync(async tx =>
        {
            if (await tx.ExecuteAsync($"update users_totp set account_id = account_id where account_id = {accountId} and confirmed_at is not null", ct) == 0)
                return null;
            await ReplaceCodesAsync(tx, accountId, codes);
            await trail.AddAsync(tx, AuditEvents.RecoveryCodesMade, origin, accountId, clock.UtcNow());
            return codes;
        }, ct);
    }

    /// <summary>Does a sign-in wait under that handle, and may another code be tried?</summary>
    public async Task<bool> IsWaitingAsync(string handle, CancellationToken ct) => await db.FindAsync<long>($"""
        select count(*) from users_tickets
        where handle_digest = {Secret.Digest(handle)} and purpose = {TicketPurpose.SecondStep} and attempts < {TicketTable.MaxAttempts} and expires_at > {clock.UtcNow()}
        """, ct) == 1;

    /// <summary>Ends a sign-in that waits for its second step.</summary>
    /// <returns>Null when nothing waits under that handle, or the code is wrong.</returns>
    /// <exception cref="ProblemException">Too many wrong codes for this account.</exception>
    public async Task<Session?> SignInAsync(string handle, string code, string address, Origin origin, CancellationToken ct)
    {
        var digest = Secret.Digest(handle);
        var waiting = await db.FindAsync<long>($"select account_id from users_tickets where handle_digest = {digest} and purpose = {TicketPurpose.SecondStep} and expires_at > {clock.UtcNow()}", ct);
        if (waiting == 0)
            return null;
        return await CheckedAsync(waiting, code, address, async (tx, method) =>
        {
            var ticket = await tx.FindAsync<Used>($"""
                update users_tickets set attempts = attempts + 1 where handle_digest = {digest} and attempts < {TicketTable.MaxAttempts} returning account_id, email, methods
                """, CancellationToken.None);
            if (ticket is null || method is null)
                return null;
            await tx.ExecuteAsync($"delete from users_tickets where handle_digest = {digest}", CancellationToken.None);
            return await sessions.OpenAsync(tx, ticket.AccountId, null, Methods.Add(ticket.Methods, method), address, options.AccessTokenLifetime, origin, clock.UtcNow());
        }, origin, ct);
    }

    /// <summary>Shows once more that the person of a session is there.</summary>
    /// <inheritdoc cref="SignInAsync" path="/exception"/>
    public async Task<bool> ConfirmSessionAsync(Caller caller, string code, string address, Origin origin, CancellationToken ct) =>
        await CheckedAsync(caller.AccountId, code, address, async (tx, method) => method is null ? null : await sessions.ConfirmAsync(tx, caller, origin, clock.UtcNow()), origin, ct) is not null;

    /// <param name="then">Is told by which method the code is right, null when it is wrong; what it returns counts as success when it is not null.</param>
    async Task<T?> CheckedAsync<T>(long accountId, string code, string address, Func<Transaction, string?, Task<T?>> then, Origin origin, CancellationToken ct) where T : class
    {
        var key = accountId.ToString(System.Globalization.CultureInfo.InvariantCulture);
        var familiar = $"{address} {key}";
        var limit = options.CodeFailuresPerDay == 0 ? (RateLimit?)null : await limits.TakeAsync(ByAccount, key, options.CodeFailuresPerDay, Day);
        // Whoever guesses with the password in hand does not lock the owner out where he was before.
        if (limit is { Allowed: false } && await sessions.KnowsAddressAsync(accountId, address, ct))
            limit = await limits.TakeAsync(ByFamiliar, familiar, options.CodeFailuresPerDay, Day);
        if (limit is { Allowed: false } refused)
            throw SignInLimits.TooMany(refused, "wrong codes for this account");

        var typed = string.Concat(code.Where(c => !char.IsWhiteSpace(c) && c != '-'));
        var isTotp = typed.Length == Totp.Digits && typed.All(char.IsAsciiDigit);
        var step = isTotp ? await StepOfAsync(accountId, typed, confirmed: true, ct) : null;
        var result = await db.InTransactionAsync(async tx => await then(tx, isTotp
            ? step is { } right && await UseStepAsync(tx, accountId, right) ? Methods.Otp : null
            : await UseRecoveryCodeAsync(tx, accountId, typed, origin) ? Methods.Recovery : null), ct);
        if (result is not null)
        {
            await limits.ForgetAsync(ByAccount, key);
            await limits.ForgetAsync(ByFamiliar, familiar);
        }

        return result;
    }

    /// <summary>RFC 6238, 5.2: a code is taken once, and none from before it.</summary>
    static async Task<bool> UseStepAsync(Transaction tx, long accountId, long step) =>
        await tx.ExecuteAsync($"update users_totp set last_step = {step} where account_id = {accountId} and confirmed_at is not null and last_step < {step}", CancellationToken.None) == 1;

    async Task<bool> UseRecoveryCodeAsync(Transaction tx, long accountId, string typed, Origin origin)
    {
        var now = clock.UtcNow();
        if (await tx.ExecuteAsync($"delete from users_recovery_codes where account_id = {accountId} and digest = {Digest(accountId, typed)}", CancellationToken.None) == 0)
            return false;
        await trail.AddAsync(tx, AuditEvents.RecoveryCodeUsed, origin, accountId, now);
        var left = await tx.FindAsync<int>($"select count(*) from users_recovery_codes where account_id = {accountId}", CancellationToken.None);
        if (await tx.FindAsync<string>($"select email from users_accounts where id = {accountId}", CancellationToken.None) is { } email)
            await ownership.NoticeAsync(tx, email, now, "recovery-code", ("left", left.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        return true;
    }

    async Task<long?> StepOfAsync(long accountId, string code, bool confirmed, CancellationToken ct)
    {
        var row = await db.FindAsync<Row>($"select key_id, secret, confirmed_at is not null as is_confirmed from users_totp where account_id = {accountId}", ct);
        return row is not null && row.IsConfirmed == confirmed ? Totp.StepOf(await keys.OpenAsync(row.KeyId, row.Secret, Purpose(accountId), ct), code, clock.UtcNow()) : null;
    }

    static async Task ReplaceCodesAsync(Transaction tx, long accountId, string[] codes)
    {
        await tx.ExecuteAsync($"delete from users_recovery_codes where account_id = {accountId}", CancellationToken.None);
        foreach (var code in codes)
            await tx.ExecuteAsync($"insert into users_recovery_codes (account_id, digest) values ({accountId}, {Digest(accountId, code)})", CancellationToken.None);
    }

    // 80 random bits: without a slow hash nobody finds them by trying.
    static string[] NewCodes() => [.. Enumerable.Range(0, RecoveryCodes).Select(_ => string.Join('-', Totp.Base32(RandomNumberGenerator.GetBytes(10)).ToLowerInvariant().Chunk(4).Select(c => new string(c))))];

    static string Digest(long accountId, string typed) => Secret.Digest(accountId.ToString(System.Globalization.CultureInfo.InvariantCulture), typed);

    /// <summary>Seals the secrets anew that were sealed with a key which is to go.</summary>
    /// <returns>How many do not open with it: they were changed in the table, and are lost with the key or without it.</returns>
    public async Task<int> ResealAsync(string goingKeyId, CancellationToken ct)
    {
        var (last, lost) = (0L, 0);
        while (await db.ListAsync<Sealed>($"select account_id, secret from users_totp where key_id = {goingKeyId} and account_id > {last} order by account_id limit 100", ct) is { Count: > 0 } page)
            foreach (var row in page)
            {
                last = row.AccountId;
                try
                {
                    var (keyId, box) = await keys.SealAsync(await keys.OpenAsync(goingKeyId, row.Secret, Purpose(last), ct), Purpose(last), ct);
                    await db.ExecuteAsync($"""
                        update users_totp set key_id = {keyId}, secret = {box} where account_id = {last} and key_id = {goingKeyId} and exists (select 1 from users_signing_keys where id = {keyId})
                        """, ct);
                }
                catch (CryptographicException)
                {
                    logger.SecondStepNotOpened(last, goingKeyId);
                    lost++;
                }
            }

        return lost;
    }

    /// <summary>A secret that is put into another account's row does not open there.</summary>
    public static string Purpose(long accountId) => $"totp of account {accountId}";

    sealed record Row(string KeyId, byte[] Secret, bool IsConfirmed);

    sealed record Sealed(long AccountId, byte[] Secret);
}

/// <summary>What an authenticator app is set up with.</summary>
/// <param name="Secret">To be typed where no picture can be taken; base32.</param>
/// <param name="Uri">otpauth://…, what the picture says.</param>
/// <param name="QrSvg">The picture, as SVG.</param>
public sealed record TotpSetup(string Secret, string Uri, string QrSvg);
