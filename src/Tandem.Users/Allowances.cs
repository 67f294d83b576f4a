using Microsoft.AspNetCore.Http;
using Tandem.Core.Http;

namespace Tandem.Users;

static class Allowances
{
    /// <summary>Takes one from an allowance.</summary>
    /// <param name="policy">The rule is <c>users/</c> and this; so are the answer's headers called.</param>
    /// <param name="key">Whose allowance: an address, an account.</param>
    /// <param name="limit">How many per <paramref name="window"/>; 0: no limit.</param>
    /// <param name="window">The time in which an empty allowance fills up.</param>
    /// <param name="detail">What there were too many of, as a sentence.</param>
    /// <returns>429, with what it says in the headers already; null: there was one.</returns>
    public static async ValueTask<ProblemResult?> RefuseAsync(this IRateLimits limits, HttpContext http, string policy, string key, int limit, TimeSpan window, string? detail = null)
    {
        if (limit == 0 || await limits.TakeAsync($"users/{policy}", key, limit, window) is not { Allowed: false } taken)
            return null;
        taken.WriteHeaders(http.Response, policy);
        return taken.Refusal(detail);
    }
}
