using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;

namespace Tandem.Users.Passkeys;

/// <summary>The passkeys of accounts. Whether an answer of a browser is right is for <see cref="Ceremonies"/> to say; what follows from it is here.</summary>
/// <remarks>
/// What was asked is not stored: it goes along with the browser, sealed, and comes back with the answer. Asking costs no row, however often strangers do; once an answer is right its challenge is written down,
/// and no second answer to it is taken.
/// </remarks>
sealed class PasskeyTable(Db db, Keys keys, Ceremonies ceremonies, Ownership ownership, AuditTrail trail, UsersOptions options, TimeProvider clock, ILogger<PasskeyTable> logger)
{
    public const int MaxNameLength = 64;

    /// <summary>The longest handle that is looked at: of a new passkey it has the e-mail and the name in it.</summary>
    public const int MaxHandleLength = 4000;

    /// <summary>The longest answer of a browser that is looked at. Without a statement of the authenticator's maker it has one or two thousand characters.</summary>
    public const int MaxCredentialLength = 16_384;

    /// <summary>How long a question may be answered: as long as browsers wait for a person, and WebAuthn recommends.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(5);

    const string SignInPurpose = "passkey to sign in with";

    const string Columns = "id, account_id, user_handle, credential_id, public_key, sign_count, transports, is_backup_eligible, is_backed_up, name, created_at, last_used_at";

    /// <summary>Asks whoever it is for a passkey. Nothing is looked at, so nothing can be learnt.</summary>
    /// <exception cref="ProblemException">There is no name that passkeys could be for.</exception>
    public async Task<PasskeyAsked> AskAsync(HttpContext http)
    {
        var asked = await ceremonies.BeginAsync(http);
        return await AskedAsync(asked.RequestOptionsJson, asked.AssertionState, SignInPurpose, http.RequestAborted);
    }

    /// <summary>Asks a person for a new passkey.</summary>
    /// <inheritdoc cref="AskAsync(HttpContext)" path="/exception"/>
    public async Task<PasskeyAsked> AskAsync(Account account, HttpContext http)
    {
        var known = await ListAsync(account.Id, http.RequestAborted);
        var owner = new PasskeyUserEntity { Id = known is [var first, ..] ? first.UserHandle : Secret.New(), Name = account.Email, DisplayName = account.Name };
        var asked = await ceremonies.BeginNewAsync(owner, known.ConvertAll(p => p.Info), http);
        return await AskedAsync(asked.CreationOptionsJson, asked.AttestationState, PurposeOf(account.Id), http.RequestAborted);
    }

    /// <summary>Takes a new passkey in.</summary>
    /// <exception cref="ProblemException">It is not what was asked for, somebody has it already, or the account has as many as it may.</exception>
    public async Task<Passkey> AddAsync(Account account, string name, string handle, string credential, HttpContext http)
    {
        var (origin, ct) = (Origin.Of(http), http.RequestAborted);
        if (await OpenAsync(handle, PurposeOf(account.Id), ct) is not { } asked)
            throw new ProblemException(UserProblems.PasskeyRefused);
        var answer = await ceremonies.CheckNewAsync(credential, asked.State, http);
        if (!answer.Succeeded)
        {
            logger.PasskeyNotTaken(account.Id, answer.Failure.Message);
            throw new ProblemException(UserProblems.PasskeyRefused);
        }

        return await db.InTransactionAsync(async tx =>
        {
            var (now, made) = (clock.UtcNow(), answer.Passkey);
            if (await tx.FindAsync<Account>(UserTable.Locked(account.Id), ct) is not { IsActive: true } owner)
                throw new ProblemException(UserProblems.NotFound);
            if (await tx.FindAsync<long>($"select count(*) from users_passkeys where account_id = {owner.Id}", ct) >= options.PasskeysPerAccount)
                throw new ProblemException(UserProblems.TooManyPasskeys);
            if (!await IsFirstAnswerAsync(tx, asked))
                throw new ProblemException(UserProblems.PasskeyRefused);
            var transports = made.Transports is { Length: > 0 } some ? string.Join(' ', some) : null;
            var added = await tx.FindAsync<Passkey>($"""
                insert into users_passkeys ({Sql.Raw(Columns)})
                values ({Guid.CreateVersion7(now)}, {owner.Id}, {answer.UserEntity.Id}, {made.CredentialId}, {made.PublicKey}, {(long)made.SignCount}, {transports},
                    {made.IsBackupEligible}, {made.IsBackedUp}, {name}, {now}, {(DateTime?)null})
                on conflict (credential_id) do nothing returning {Sql.Raw(Columns)}
                """, CancellationToken.None) ?? throw new ProblemException(UserProblems.PasskeyTaken);
            await trail.AddAsync(tx, AuditEvents.PasskeyAdded, origin, owner.Id, now, subjectPart: added.Id);
            await ownership.NoticeAsync(tx, owner.Email, now, "passkey-added", ("name", name));
            return added;
        }, ct);
    }

    /// <summary>Looks at what somebody shows to be who he is.</summary>
    /// <param name="handle">Of the question.</param>
    /// <param name="credential">The browser's answer, as JSON.</param>
    /// <param name="http">The request.</param>
    /// <param name="accountId">Whose passkey it has to be; null: anybody's.</param>
    /// <returns>Whose passkey it is; null when it is none that is known, or the answer is wrong, late or was given before.</returns>
    public async Task<long?> UseAsync(string handle, string credential, HttpContext http, long? accountId = null)
    {
        var (origin, ct) = (Origin.Of(http), http.RequestAborted);
        if (credential.Length > MaxCredentialLength || IdOf(credential) is not { } id || await OpenAsync(handle, SignInPurpose, ct) is not { } asked)
            return null;
        var known = await db.FindAsync<Passkey>($"select {Sql.Raw(Columns)} from users_passkeys where credential_id = {id}", ct);
        if (known is null || known.AccountId != (accountId ?? known.AccountId))
            return null;
        var answer = await ceremonies.CheckAsync(credential, asked.State, known.UserHandle, known.Info, http);
        if (!answer.Succeeded)
            return null;

        var (count, isBackedUp) = ((long)answer.Passkey.SignCount, answer.Passkey.IsBackedUp);
        return await db.InTransactionAsync(async tx =>
        {
            var now = clock.UtcNow();
            if (!await IsFirstAnswerAsync(tx, asked))
                return (long?)null;
            // WebAuthn, 6.1.1: an authenticator counts up, or not at all. One that falls behind is a copy, or has one.
            if (await tx.ExecuteAsync($"""
                update users_passkeys set sign_count = {count}, is_backed_up = {isBackedUp}, last_used_at = {now} where id = {known.Id} and (sign_count < {count} or sign_count = 0 and {count} = 0)
                """, CancellationToken.None) == 1)
                return known.AccountId;
            if (await tx.FindAsync<long>($"select count(*) from users_passkeys where id = {known.Id}", CancellationToken.None) == 1)
            {
                await trail.AddAsync(tx, AuditEvents.PasskeyBehind, origin, known.AccountId, now, subjectPart: known.Id);
                tx.OnCommitted(() => logger.PasskeyBehind(known.Id, known.AccountId));
            }

            return null;
        }, ct);
    }

    /// <returns>An account's passkeys, the oldest first; at most <see cref="UsersOptions.PasskeysPerAccount"/>.</returns>
    public Task<List<Passkey>> ListAsync(long accountId, CancellationToken ct) =>
        db.ListAsync<Passkey>($"select {Sql.Raw(Columns)} from users_passkeys where account_id = {accountId} order by created_at, id", ct);

    public Task<long> CountAsync(long accountId, CancellationToken ct) => db.FindAsync<long>($"select count(*) from users_passkeys where account_id = {accountId}", ct);

    /// <returns>Null when the account has no such passkey.</returns>
    public Task<Passkey?> RenameAsync(long accountId, Guid id, string name, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var renamed = await tx.FindAsync<Passkey>($"update users_passkeys set name = {name} where id = {id} and account_id = {accountId} returning {Sql.Raw(Columns)}", ct);
        if (renamed is not null)
            await trail.AddAsync(tx, AuditEvents.PasskeyRenamed, origin, accountId, clock.UtcNow(), subjectPart: id);
        return renamed;
    }, ct);

    /// <returns>False when the account has no such passkey.</returns>
    /// <exception cref="ProblemException">Nothing would be left to sign in with.</exception>
    public Task<bool> RemoveAsync(long accountId, Guid id, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var now = clock.UtcNow();
        if (await tx.FindAsync<Account>(UserTable.Locked(accountId), ct) is not { } owner
            || await tx.ExecuteAsync($"delete from users_passkeys where id = {id} and account_id = {accountId}", ct) == 0)
            return false;
        await ownership.KeepAWayInAsync(tx, accountId);
        await trail.AddAsync(tx, AuditEvents.PasskeyRemoved, origin, accountId, now, subjectPart: id);
        await ownership.NoticeAsync(tx, owner.Email, now, "passkey-removed");
        return true;
    }, ct);

    /// <summary>Removes every passkey of an account.</summary>
    /// <returns>How many there were.</returns>
    public static Task<int> ForgetAsync(Transaction tx, long accountId) => tx.ExecuteAsync($"delete from users_passkeys where account_id = {accountId}", CancellationToken.None);

    /// <summary>Forgets answers whose questions have expired.</summary>
    public Task SweepAsync(CancellationToken ct) => db.ExecuteAsync($"delete from users_passkey_answers where expires_at < {clock.UtcNow()}", ct);

    async Task<PasskeyAsked> AskedAsync(string options, string? state, string purpose, CancellationToken ct)
    {
        var until = clock.GetUtcNow() + Lifetime;
        var text = string.Create(CultureInfo.InvariantCulture, $"{until.ToUnixTimeMilliseconds()} {state}");
        var (keyId, box) = await keys.SealAsync(Encoding.UTF8.GetBytes(text), purpose, ct);
        return new PasskeyAsked($"{keyId}.{Base64Url.EncodeToString(box)}", (int)Lifetime.TotalSeconds, JsonElement.Parse(options));
    }

    /// <returns>Null when this was never asked, was asked for something else, or too long ago.</returns>
    async Task<Asked?> OpenAsync(string handle, string purpose, CancellationToken ct)
    {
        if (handle.Length > MaxHandleLength || handle.Split('.') is not [{ Length: > 0 } keyId, { Length: > 0 } box] || !Base64Url.IsValid(keyId) || !Base64Url.IsValid(box)
            || await keys.TryOpenAsync(keyId, Base64Url.DecodeFromChars(box), purpose, ct) is not { } sealedText)
            return null;
        var text = Encoding.UTF8.GetString(sealedText);
        var blank = text.IndexOf(' ', StringComparison.Ordinal);
        var expiresAt = DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(text.AsSpan(0, blank), NumberStyles.None, CultureInfo.InvariantCulture)).UtcDateTime;
        // Of the text within, not of the handle: that may be spelt in more than one way.
        return expiresAt > clock.UtcNow() ? new Asked(text[(blank + 1)..], Secret.Digest(text), expiresAt) : null;
    }

    static async Task<bool> IsFirstAnswerAsync(Transaction tx, Asked asked) => await tx.ExecuteAsync(
        $"insert into users_passkey_answers (digest, expires_at) values ({asked.Digest}, {asked.ExpiresAt}) on conflict (digest) do nothing", CancellationToken.None) == 1;

    /// <summary>Which passkey an answer says that it is of.</summary>
    static byte[]? IdOf(string credential)
    {
        try
        {
            using var json = JsonDocument.Parse(credential);
            return json.RootElement.ValueKind == JsonValueKind.Object && json.RootElement.TryGetProperty("id", out var id) && id.ValueKind == JsonValueKind.String
                && id.GetString() is { Length: > 0 } text && Base64Url.IsValid(text) ? Base64Url.DecodeFromChars(text) : null;
        }
        catch (JsonException)
        {
            return null; // Whoever made it up is told that no such passkey is known, which is true.
        }
    }

    static string PurposeOf(long accountId) => string.Create(CultureInfo.InvariantCulture, $"passkey of account {accountId}");

    sealed record Asked(string State, string Digest, DateTime ExpiresAt);
}

/// <summary>A row.</summary>
sealed record Passkey(Guid Id, long AccountId, string UserHandle, byte[] CredentialId, byte[] PublicKey, long SignCount, string? Transports, bool IsBackupEligible, bool IsBackedUp, string Name,
    DateTime CreatedAt, DateTime? LastUsedAt)
{
    /// <summary>As the framework has it. Its counter stays out of it: it is compared in the statement that stores the next one.</summary>
    public UserPasskeyInfo Info => new(CredentialId, PublicKey, CreatedAt, 0, Transports?.Split(' '), isUserVerified: true, IsBackupEligible, IsBackedUp, [], []) { Name = Name };
}
