using Microsoft.AspNetCore.Http;
using Tandem.Core.Http;

namespace Tandem.Users;

/// <summary>
/// Counts failed sign-ins: per address to whatever account, and per account from addresses it was never signed in from.
/// </summary>
/// <remarks>
/// An account's owner is never locked out for long by somebody who guesses: addresses the account has been signed in from before have an
/// allowance of their own, and the shared one refills evenly, one attempt every half minute on the defaults. An e-mail that nobody has is
/// counted like one that somebody has. What is counted is taken before the password is looked at, so that a thousand guesses at once are no
/// way round, and put back when it was right.
/// </remarks>
sealed class SignInLimits(IRateLimits limits, UsersOptions options)
{
    const string ByAddress = "users/sign-in-address";
    const string ByAccount = "users/sign-in-account";
    const string ByFamiliar = "users/sign-in-familiar";
    const string AddressPolicy = "sign-in-address";
    const string Failures = "failed sign-ins";

    public static readonly TimeSpan Window = TimeSpan.FromMinutes(5);

    /// <param name="address">Of <see cref="ClientAddress"/>.</param>
    /// <param name="email">As it was sent.</param>
    /// <param name="isFamiliar">Was this account signed in from this address before? Asked only when it matters.</param>
    public async Task<Attempt> TakeAsync(string address, string email, Func<Task<bool>> isFamiliar)
    {
        var account = email.ToLowerInvariant();
        RateLimit? last = null;
        if (options.FailuresPerAddress > 0)
        {
            last = await limits.TakeAsync(ByAddress, address, options.FailuresPerAddress, Window);
            if (last is { Allowed: false })
                return new Attempt(last, AddressPolicy, null);
        }

        if (options.FailuresPerAccount == 0)
            return new Attempt(last, AddressPolicy, () => GiveBackAddressAsync(address));
        last = await limits.TakeAsync(ByAccount, account, options.FailuresPerAccount, Window);
        if (last is { Allowed: true })
            return new Attempt(last, "sign-in-account", () => SucceededAsync(address, account));
        if (!await isFamiliar())
            return new Attempt(last, "sign-in-account", null);
        last = await limits.TakeAsync(ByFamiliar, $"{address} {account}", options.FailuresPerAccount, Window);
        return new Attempt(last, "sign-in-account", last is { Allowed: true } ? () => SucceededAsync(address, account) : null);
    }

    /// <summary>Does not listen to an address that has failed too often. Of what is long and random nothing can be guessed: this spares the store.</summary>
    /// <param name="what">What there were too many of.</param>
    /// <exception cref="ProblemException">It has.</exception>
    public async Task RefuseExhaustedAsync(string address, HttpResponse response, string what = Failures)
    {
        if (options.FailuresPerAddress == 0 || await limits.PeekAsync(ByAddress, address, options.FailuresPerAddress, Window) is not { Allowed: false } limit)
            return;
        limit.WriteHeaders(response, AddressPolicy);
        throw TooMany(limit, what);
    }

    /// <summary>What is said to whoever has failed too often.</summary>
    /// <param name="limit">The one that has run out.</param>
    /// <param name="what">What there were too many of.</param>
    public static ProblemException TooMany(RateLimit limit, string what = Failures) =>
        new(HttpProblems.TooManyRequests, $"Too many {what}; try again after the time in Retry-After.", retryAfterSeconds: limit.Refusal().RetryAfterSeconds);

    /// <summary>Counts what was wrong and is no password.</summary>
    public async Task FailedAsync(string address)
    {
        if (options.FailuresPerAddress > 0)
            await limits.TakeAsync(ByAddress, address, options.FailuresPerAddress, Window);
    }

    async Task SucceededAsync(string address, string account)
    {
        await GiveBackAddressAsync(address);
        await limits.ForgetAsync(ByAccount, account);
        await limits.ForgetAsync(ByFamiliar, $"{address} {account}");
    }

    async Task GiveBackAddressAsync(string address)
    {
        if (options.FailuresPerAddress > 0)
            await limits.GiveBackAsync(ByAddress, address, options.FailuresPerAddress, Window);
    }

    /// <param name="Limit">What was said; null when nothing is limited.</param>
    /// <param name="Policy">Its name in the RateLimit headers.</param>
    /// <param name="SucceededAsync">To be called when the password was right.</param>
    public readonly record struct Attempt(RateLimit? Limit, string Policy, Func<Task>? SucceededAsync);
}
