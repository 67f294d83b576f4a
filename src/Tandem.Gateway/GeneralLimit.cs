using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Tandem.Core.Http;

namespace Tandem.Gateway;

/// <summary>The general limit, for every request but the probes.</summary>
sealed class GeneralLimit(RequestDelegate next, RateLimitOptions options, IRateLimits limits)
{
    const string Rule = "gateway";

    public Task InvokeAsync(HttpContext context)
    {
        if (context.Request.Path.Value is "/health" or "/health/ready")
            return next(context);
        var taken = limits.TakeAsync(Rule, KeyOf(context), options.PermitsPerMinute, TimeSpan.FromMinutes(1));
        // In one process there is nothing to wait for, and no request pays for a state machine.
        return taken.IsCompletedSuccessfully ? AnswerAsync(context, taken.Result) : WaitAsync(context, taken);
    }

    async Task WaitAsync(HttpContext context, ValueTask<RateLimit> taken) => await AnswerAsync(context, await taken);

    Task AnswerAsync(HttpContext context, RateLimit limit)
    {
        limit.WriteHeaders(context.Response, Rule);
        return limit.Allowed ? next(context) : limit.Refusal().ExecuteAsync(context);
    }

    // The token is not checked yet, so it only ever narrows: whoever makes tokens up still shares the allowance of the address in other limits.
    string KeyOf(HttpContext context) => options.By == "Token" && context.Request.Headers.Authorization is [{ Length: > 0 } token]
        ? Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(token)), 0, 16)
        : ClientAddress.Of(context);
}
