using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using Tandem.Core.Data;

namespace Tandem.Core.Http;

/// <summary>
/// What happens to every request between routing and its endpoint: the token is checked where the endpoint wants one, a JSON body is
/// read whole so that its faults can be named, and every failure becomes a problem.
/// </summary>
sealed class EdgeMiddleware(RequestDelegate next, ITokenVerifier tokens, HttpOptions options, ILogger<EdgeMiddleware> logger)
{
    public async Task InvokeAsync(HttpContext context)
    {
        var endpoint = context.GetEndpoint();
        var answer = WholeAnswer.Begin(context, endpoint);
        try
        {
            if (endpoint is not null)
            {
                var refusal = Refuse(context, endpoint, out var unknown);
                if (unknown is not null)
                    refusal = await FindAsync(context, endpoint, unknown);
                if (refusal is not null)
                {
                    await refusal.ExecuteAsync(context);
                    return;
                }
            }

            if (endpoint?.Metadata.GetMetadata<IAcceptsMetadata>() is { RequestType: not null } accepts && accepts.RequestType != typeof(IFormFile))
                await ReadBodyAsync(context);
            await next(context);
            if (context.Response is { HasStarted: false, StatusCode: >= 400, ContentType: null, ContentLength: null })
                await Refused(context).ExecuteAsync(context);
        }
        catch (Exception e) when (!context.Response.HasStarted)
        {
            if (answer?.HasContent == true)
            {
                // There is no other answer any more; once this one has begun, the server breaks it off.
                await context.Response.StartAsync(CancellationToken.None);
                throw;
            }

            if (context.RequestAborted.IsCancellationRequested && (e is IOException || e is OperationCanceledException && IsClientGone(context)))
                return;
            var result = Explain(context, e);
            await result.ExecuteAsync(context);
        }
    }

    /// <summary>Checks the token where the endpoint wants one; a request that needs none pays nothing for it.</summary>
    /// <param name="context">The request.</param>
    /// <param name="endpoint">Where it leads.</param>
    /// <param name="unknown">A token that cannot be told to be right or wrong without asking a store.</param>
    ProblemResult? Refuse(HttpContext context, Endpoint endpoint, out string? unknown)
    {
        unknown = null;
        // Not a RouteEndpoint: routing itself refuses (405, 415), whoever asks.
        if (endpoint is not RouteEndpoint || endpoint.Metadata.GetMetadata<IAllowAnonymous>() is not null)
            return null;
        if (!Bearer.TryRead(context.Request, out var token))
            return Challenge(context, null);
        if (tokens.TryVerify(token, out var caller))
            return Admit(context, endpoint, caller);
        unknown = token.ToString();
        return null;
    }

    async Task<ProblemResult?> FindAsync(HttpContext context, Endpoint endpoint, string token) =>
        await tokens.FindAsync(token, context) is { } caller ? Admit(context, endpoint, caller) : Challenge(context, "invalid_token");

    static ProblemResult? Admit(HttpContext context, Endpoint endpoint, Caller caller)
    {
        context.Features.Set(caller);
        context.User = caller.Principal;
        foreach (var requirement in endpoint.Metadata.GetOrderedMetadata<AccessRequirement>())
            if (!(requirement.Scope is { } scope ? caller.May(scope) : caller.IsAdministrator))
                return Problem.Of(HttpProblems.Forbidden, requirement.Scope is null
                    ? "This takes an administrator."
                    : $"This takes an administrator or the scope {requirement.Scope}.");
        return null;
    }

    /// <summary>The request's token is cancelled as well when the request has taken too long; then there is somebody to be told.</summary>
    static bool IsClientGone(HttpContext context) => context.Features.Get<IConnectionLifetimeFeature>() is not { ConnectionClosed.IsCancellationRequested: false };

    // RFC 6750, section 3.
    static ProblemResult Challenge(HttpContext context, string? error)
    {
        context.Response.Headers.WWWAuthenticate = error is null ? "Bearer" : $"Bearer error=\"{error}\"";
        return error is null
            ? Problem.Of(HttpProblems.Unauthorized)
            : Problem.Of(HttpProblems.Unauthorized, "The token is not valid, has expired or was revoked; get a new one from POST /token.");
    }

    async Task ReadBodyAsync(HttpContext context)
    {
        var request = context.Request;
        var buffer = new MemoryStream((int)Math.Min(request.ContentLength ?? 512, options.MaxBodyBytes));
        await request.Body.CopyToAsync(buffer, context.RequestAborted);
        buffer.Position = 0;
        request.Body = buffer;
    }

    static ReadOnlyMemory<byte>? BodyOf(HttpContext context) => context.Request.Body is MemoryStream read && read.TryGetBuffer(out var bytes) ? new ReadOnlyMemory<byte>?(bytes) : null;

    static ProblemResult Refused(HttpContext context) => context.Response.StatusCode == 400 && RequestFaults.FindUnread(context) is { } errors
        ? Problem.Invalid(errors)
        : Problem.Of(HttpProblems.Of(context.Response.StatusCode));

    ProblemResult Explain(HttpContext context, Exception e)
    {
        switch (e)
        {
            case ProblemException problem:
                return problem.Result;
            case BadHttpRequestException { StatusCode: 400 } bad when RequestFaults.Find(context, bad, BodyOf(context)) is { } errors:
                return Problem.Invalid(errors);
            case BadHttpRequestException bad:
                return Problem.Of(HttpProblems.Of(bad.StatusCode));
            // The framework throws this for a charset it does not know.
            case InvalidOperationException { InnerException: ArgumentException } when BodyOf(context) is not null && !RequestFaults.IsUtf8Json(context.Request):
                return Problem.Of(HttpProblems.UnsupportedMediaType);
            case StoreUnavailableException unavailable:
                logger.StoreUnavailable(unavailable.Store, unavailable.Message, unavailable.InnerException);
                return new ProblemResult(HttpProblems.Unavailable, $"{unavailable.Store}: {unavailable.Message}", null) { RetryAfterSeconds = 1 };
            case OperationCanceledException:
                return Problem.Of(HttpProblems.TookTooLong);
            default:
                logger.RequestFailed(context.Request.Method, context.Request.Path,
                    System.Diagnostics.Activity.Current?.TraceId.ToString() ?? context.TraceIdentifier, e);
                return Problem.Of(HttpProblems.Failed);
        }
    }
}
