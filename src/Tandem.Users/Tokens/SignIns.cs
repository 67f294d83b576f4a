using Microsoft.AspNetCore.Http;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Look;
using Tandem.Users.Passkeys;
using Tandem.Users.SecondSteps;
using Tandem.Users.Tickets;

namespace Tandem.Users.Tokens;

/// <summary>Every way in, for <c>POST /token</c> and for the pages of a sign-in: what somebody shows is checked here, counted against the same limits, and opens the session.</summary>
sealed class SignIns(Db db, UserTable users, Ownership ownership, Passwords passwords, Sessions sessions, TicketTable tickets, SecondStep secondStep, PasskeyTable passkeys, SignInLimits limits,
    FailedSignIns failures, TimeProvider clock)
{
    // Asked about like an account: also who is put off must not see in the time whether there is one.
    const long Nobody = 0;

    static readonly SignIn Nothing = new(null, null, false);

    /// <summary>By an e-mail and a password.</summary>
    /// <exception cref="ProblemException">They are wrong, or there were too many wrong ones.</exception>
    public async Task<SignIn> ByPasswordAsync(string email, string password, HttpContext http)
    {
        var ct = http.RequestAborted;
        // Nobody signs up with such: it is answered like a wrong password, after the same work.
        var possible = email.Length <= 254 && !email.Contains('\0') && password.Length <= Passwords.MaxLength;
        var (address, origin) = (ClientAddress.Of(http), Origin.Of(http));
        var account = possible ? await users.FindCredentialsAsync(email, ct) : null;
        var attempt = await limits.TakeAsync(address, email.Length <= 254 ? email : "", () => sessions.KnowsAddressAsync(account?.Id ?? Nobody, address, ct));
        if (attempt.Limit is { Allowed: false } limit)
        {
            limit.WriteHeaders(http.Response, attempt.Policy);
            failures.Add(account?.Id, origin, "too many attempts");
            throw SignInLimits.TooMany(limit);
        }

        var (signIn, wasRight) = await OpenAsync(possible ? password : "", account, address, origin, ct);
        if (signIn == Nothing)
        {
            failures.Add(account?.Id, origin, account is null ? "no such account" : wasRight ? "not active" : "wrong password");
            throw new ProblemException(UserProblems.InvalidGrant);
        }

        if (attempt.SucceededAsync is { } succeeded)
            await succeeded();
        return signIn;
    }

    /// <returns>Nothing for a wrong password, an account that is not there or not active.</returns>
    async Task<(SignIn SignIn, bool WasRight)> OpenAsync(string password, Credentials? account, string address, Origin origin, CancellationToken ct)
    {
        for (var isFirst = true; ; isFirst = false)
        {
            var check = await passwords.CheckAsync(password, account?.PasswordHash, ct);
            if (!check.IsRight || account is null)
                return (Nothing, false);
            if (await sessions.SignInAsync(new Proof(account.Id, Methods.Password, account.PasswordHash, check.Better), address, origin, clock.UtcNow(), ct) is var signIn && signIn != Nothing)
                return (signIn, true);
            // Of two first sign-ins at once one replaces the hash that both were checked against: the other is checked once more, against the new one.
            var now = isFirst && Passwords.IsWeak(account.PasswordHash) ? await users.FindCredentialsAsync(account.Id, ct) : null;
            if (now is null || now.PasswordHash == account.PasswordHash)
                return (Nothing, true);
            account = now;
        }
    }

    /// <summary>By the handle that <c>POST /auth/code</c> gave and the code that it mailed.</summary>
    /// <exception cref="ProblemException">They are wrong, or this address has shown too much that was wrong.</exception>
    public Task<SignIn> ByEmailCodeAsync(string handle, string code, HttpContext http) => ByCodeAsync(UserProblems.WrongCode, "wrong code", http,
        (address, origin, ct) => ByMailAsync(tx => tickets.UseCodeAsync(tx, handle, code), address, origin, ct));

    /// <summary>By the link of such a mail.</summary>
    /// <inheritdoc cref="ByEmailCodeAsync" path="/exception"/>
    public Task<SignIn> ByEmailLinkAsync(string link, HttpContext http) => ByCodeAsync(UserProblems.LinkInvalid, "wrong link", http,
        (address, origin, ct) => ByMailAsync(tx => tickets.UseLinkAsync(tx, TicketPurpose.Code, link), address, origin, ct));

    /// <summary>By a passkey, which says by itself whose it is.</summary>
    /// <param name="handle">Of <c>POST /auth/passkey/options</c>.</param>
    /// <param name="credential">The browser's answer, as JSON.</param>
    /// <inheritdoc cref="ByEmailCodeAsync" path="/exception"/>
    public Task<SignIn> ByPasskeyAsync(string handle, string credential, HttpContext http) => ByCodeAsync(UserProblems.PasskeyRefused, "wrong passkey", http,
        async (address, origin, ct) => await passkeys.UseAsync(handle, credential, http) is { } account
            ? await sessions.SignInAsync(new Proof(account, Methods.Passkey), address, origin, clock.UtcNow(), ct)
            : Nothing);

    /// <summary>By a login at another provider, which was looked at before.</summary>
    /// <param name="account">That it opens.</param>
    /// <param name="provider">Its name.</param>
    /// <param name="signedInAt">When the person has shown there who he is; null: the provider does not say it.</param>
    /// <param name="hasTwoSteps">The provider says that it was more than one thing, and its word is taken for it.</param>
    /// <exception cref="ProblemException">The account is not there or not active.</exception>
    public async Task<SignIn> ByUpstreamAsync(long account, string provider, DateTime? signedInAt, bool hasTwoSteps, HttpContext http)
    {
        var origin = Origin.Of(http);
        var methods = Methods.Upstream + provider;
        var proof = new Proof(account, hasTwoSteps ? Methods.Add(methods, Methods.Several) : methods) { ShownAt = signedInAt };
        if (await sessions.SignInAsync(proof, ClientAddress.Of(http), origin, clock.UtcNow(), http.RequestAborted) is var signIn && signIn != Nothing)
            return signIn;
        failures.Add(account, origin, "not active");
        throw new ProblemException(UserProblems.InvalidGrant, Language.Of(http).Say("upstream.not-active"));
    }

    /// <summary>Goes on with a sign-in that waits for its second step.</summary>
    /// <inheritdoc cref="ByEmailCodeAsync" path="/exception"/>
    public Task<SignIn> BySecondStepAsync(string handle, string code, HttpContext http) => ByCodeAsync(UserProblems.WrongCode, "wrong code", http,
        async (address, origin, ct) => new SignIn(await secondStep.SignInAsync(handle, code, address, origin, ct), null, false));

    /// <summary>What is shown here has too many possibilities, or too few attempts, to be guessed; an address that goes on trying is put off like one that guesses passwords.</summary>
    async Task<SignIn> ByCodeAsync(Problem wrong, string reason, HttpContext http, Func<string, Origin, CancellationToken, Task<SignIn>> check)
    {
        var (address, origin) = (ClientAddress.Of(http), Origin.Of(http));
        await limits.RefuseExhaustedAsync(address, http.Response);
        if (await check(address, origin, http.RequestAborted) is var signIn && signIn != Nothing)
            return signIn;
        await limits.FailedAsync(address);
        failures.Add(null, origin, reason);
        throw new ProblemException(wrong);
    }

    async Task<SignIn> ByMailAsync(Func<Transaction, Task<Used?>> use, string address, Origin origin, CancellationToken ct)
    {
        var used = await db.InTransactionAsync(async tx =>
        {
            var used = await use(tx);
            // The mailbox is the person's own: the mail was read there.
            return used is { Email: { } email } && await ownership.SignsInByMailAsync(tx, used.AccountId, email, origin, clock.UtcNow()) ? used : null;
        }, ct);
        return used is null ? Nothing : await sessions.SignInAsync(new Proof(used.AccountId, Methods.Email), address, origin, clock.UtcNow(), ct);
    }
}
