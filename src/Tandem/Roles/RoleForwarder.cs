using System.Diagnostics.Metrics;
using System.Globalization;
using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Gateway;
using Yarp.ReverseProxy.Forwarder;

namespace Tandem.Roles;

/// <summary>Sends a request on to a process of its role and, when that one fails and nothing can happen twice, to another.</summary>
sealed class RoleForwarder(IHttpForwarder forwarder, DestinationWatch watch, Hop hop, GatewayOptions options, TimeProvider clock, ILogger<RoleForwarder> logger)
{
    static readonly Counter<long> Repeats = Telemetry.Meter.CreateCounter<long>("tandem.gateway.repeats", "{request}", "Requests that were sent to another process of their role after a failure");

    // A request that ends the process that works on it must not be carried through all of them.
    const int MaxRepeats = 2;

    // Larger bodies go through as they come and are gone when the process that read them is. This many bytes for each of 1,000 requests are 64 MB.
    const int MaxKeptBytes = 64 * 1024;

    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    static readonly ForwarderRequestConfig Config = new()
    {
        // Roles speak HTTP/1.1 without TLS. How long a request may take is the endpoint's own matter, here as there.
        Version = HttpVersion.Version11,
        VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        ActivityTimeout = Timeout.InfiniteTimeSpan,
    };

    /// <summary>Forwards to one role.</summary>
    public RequestDelegate To(RoleDestinations role)
    {
        var transformer = new Transformer(hop);
        return context => ForwardAsync(context, role, transformer);
    }

    async Task ForwardAsync(HttpContext context, RoleDestinations role, Transformer transformer)
    {
        if (role.Addresses.Count == 0)
            throw new ProblemException(RoleProblems.Missing, $"No process of the role {role.Role} is known here: set {role.Setting} to where it listens, or run the role in this process.");
        var isRepeatable = await IsRepeatableAsync(context);
        KeyValuePair<string, StringValues>[] headers = [.. context.Response.Headers];
        var started = clock.GetTimestamp();
        List<Destination>? tried = null;
        for (var repeats = 0; ;)
        {
            if (role.Choose(tried) is not { } destination)
            {
                // All were asked. A role that has just gone may be back in a moment; for one that stays away nobody waits.
                if (clock.GetElapsedTime(started) >= options.RoleWait || role.Silence > options.RoleWait + Pause)
                    throw new ProblemException(RoleProblems.Away, repeats == 0
                        ? $"No process of the role {role.Role} can be reached; nothing was done. Try again in a moment."
                        : $"No process of the role {role.Role} can be reached any more. The request may be repeated without harm; try again in a moment.", retryAfterSeconds: 1);
                await Task.Delay(Pause, clock, context.RequestAborted);
                tried?.Clear();
                continue;
            }

            if (await SendAsync(context, role, destination, transformer, isRepeatable) is not { } failure)
                return;
            logger.ForwardFailed(role.Role, destination.Address, failure.Message);
            if (!failure.NothingSent && (!isRepeatable || ++repeats > MaxRepeats))
                throw new ProblemException(RoleProblems.OutcomeUnknown, $"The process of the role {role.Role} that worked on this request is gone; whether it was done is not known. "
                    + "Look before you send it again, or send it with an Idempotency-Key where the endpoint takes one.");
            Repeats.Add(1, new KeyValuePair<string, object?>("role", role.Role));
            (tried ??= []).Add(destination);
            Restore(context, headers);
        }
    }

    /// <returns>Null when the client has its answer, or is gone.</returns>
    async Task<Failure?> SendAsync(HttpContext context, RoleDestinations role, Destination destination, Transformer transformer, bool isRepeatable)
    {
        using var recall = isRepeatable ? new Recall(destination) : null;
        if (recall is not null)
            context.Features.Set(recall);
        destination.Begin();
        ForwarderError error;
        try
        {
            error = await forwarder.SendAsync(context, destination.Address, watch.Client, Config, transformer, recall?.Token ?? CancellationToken.None);
        }
        finally
        {
            destination.End();
        }

        if (error == ForwarderError.None)
        {
            role.Reached();
            if (transformer.IsDraining(context))
                destination.Fitness = Fitness.Alive;
            return null;
        }

        var exception = context.Features.Get<IForwarderErrorFeature>()?.Exception ?? new IOException(error.ToString());
        if (context.Response.HasStarted)
            return null;
        context.RequestAborted.ThrowIfCancellationRequested();
        if (recall?.Token.IsCancellationRequested == true)
            return new Failure(false, "it is silent");
        // The client's own fault, such as a body that is too large, is answered like anywhere else.
        if (Find<BadHttpRequestException>(exception) is { } bad)
            throw bad;
        if (error is ForwarderError.RequestBodyClient or ForwarderError.RequestCanceled)
            throw new OperationCanceledException(exception.Message, exception);
        if (destination.Fitness != Fitness.Silent)
            destination.Fitness = Fitness.Away;
        watch.LookSoon(role, destination);
        var nothingSent = exception is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError };
        return new Failure(nothingSent, exception.InnerException?.Message ?? exception.Message);
    }

    /// <summary>May the request be sent again, although it may have been worked on? Then its body is kept.</summary>
    static async Task<bool> IsRepeatableAsync(HttpContext context)
    {
        var request = context.Request;
        var method = request.Method;
        var isSafe = HttpMethods.IsGet(method) || HttpMethods.IsHead(method) || HttpMethods.IsOptions(method);
        // RFC 9110, 9.2.2. With a condition the second answer would be that the first one's change came between.
        var isOnce = request.Headers.ContainsKey("Idempotency-Key") && context.GetEndpoint()?.Metadata.GetMetadata<IdempotencyKey.Mark>() is not null;
        var isIdempotent = isSafe || isOnce || (HttpMethods.IsPut(method) || HttpMethods.IsDelete(method)) && StringValues.IsNullOrEmpty(request.Headers.IfMatch)
            && StringValues.IsNullOrEmpty(request.Headers.IfUnmodifiedSince);
        if (!isIdempotent || IsWebSocket(context))
            return false;
        if (context.Features.Get<IHttpRequestBodyDetectionFeature>() is { CanHaveBody: false } || request.Body is MemoryStream)
            return true;
        if (request.ContentLength is not (>= 0 and <= MaxKeptBytes and var length))
            return false;
        var body = new MemoryStream((int)length);
        await request.Body.CopyToAsync(body, context.RequestAborted);
        body.Position = 0;
        request.Body = body;
        return true;
    }

    static bool IsWebSocket(HttpContext context) => context.Request.Headers.Upgrade.Count > 0;

    /// <summary>As it was before the attempt: what other middleware has said in the answer's headers stays said.</summary>
    static void Restore(HttpContext context, KeyValuePair<string, StringValues>[] headers)
    {
        context.Response.Clear();
        foreach (var (name, value) in headers)
            context.Response.Headers[name] = value;
        if (context.Request.Body is MemoryStream body)
            body.Position = 0;
    }

    static T? Find<T>(Exception? e) where T : Exception => e switch
    {
        null => null,
        T found => found,
        AggregateException many => many.InnerExceptions.Select(Find<T>).FirstOrDefault(f => f is not null),
        _ => Find<T>(e.InnerException),
    };

    /// <summary>What may be repeated is taken back from a process that has fallen silent, as long as its answer has not begun.</summary>
    sealed class Recall : IDisposable
    {
        readonly CancellationTokenSource _source = new();
        readonly CancellationTokenRegistration _registration;

        public Recall(Destination destination) => _registration = destination.Recall.UnsafeRegister(static s => ((CancellationTokenSource)s!).Cancel(), _source);

        public CancellationToken Token => _source.Token;

        // Nobody waits on the source, so there is nothing of it to dispose.
        public void Dispose() => _registration.Dispose();
    }

    /// <param name="NothingSent">The process has not seen a byte of the request.</param>
    sealed record Failure(bool NothingSent, string Message);

    sealed class Transformer(Hop hop) : HttpTransformer
    {
        static readonly object DrainingKey = new();

        public bool IsDraining(HttpContext context) => context.Items.ContainsKey(DrainingKey);

        public override async ValueTask TransformRequestAsync(HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
        {
            await base.TransformRequestAsync(httpContext, proxyRequest, destinationPrefix, cancellationToken);
            var headers = proxyRequest.Headers;
            // What only a gateway says. Copies from outside are worth nothing, and go no further.
            foreach (var name in httpContext.Request.Headers.Keys)
                if (name.StartsWith("X-Tandem-", StringComparison.OrdinalIgnoreCase) || name.StartsWith("X-Forwarded-", StringComparison.OrdinalIgnoreCase)
                    || name.Equals("Forwarded", StringComparison.OrdinalIgnoreCase))
                    headers.Remove(name);
            var address = httpContext.Connection.RemoteIpAddress is { IsIPv4MappedToIPv6: true } mapped ? mapped.MapToIPv4() : httpContext.Connection.RemoteIpAddress;
            headers.TryAddWithoutValidation(Hop.Header, hop.Sign(address, httpContext.Request.Scheme));
            // For what stands between, and for programs that know nothing of the header above.
            if (address is not null)
                headers.TryAddWithoutValidation("X-Forwarded-For", address.ToString());
            headers.TryAddWithoutValidation("X-Forwarded-Proto", httpContext.Request.Scheme);
            headers.TryAddWithoutValidation("X-Forwarded-Host", httpContext.Request.Host.Value);
        }

        public override async ValueTask<bool> TransformResponseAsync(HttpContext httpContext, HttpResponseMessage? proxyResponse, CancellationToken cancellationToken)
        {
            if (proxyResponse is null)
                return false;
            httpContext.Features.Get<Recall>()?.Dispose();
            if (proxyResponse.Headers.Remove(Hop.StateHeader))
                httpContext.Items[DrainingKey] = true;
            // The role's word stands where the gateway has said something, too; what answers vary by adds up.
            var headers = httpContext.Response.Headers;
            foreach (var name in headers.Keys.ToList())
                if (!name.Equals("Vary", StringComparison.OrdinalIgnoreCase) && (proxyResponse.Headers.Contains(name) || proxyResponse.Content.Headers.NonValidated.Contains(name)))
                    headers.Remove(name);
            // Dropped as a header between neighbours; here it is the answer (RFC 9110, 15.5.22).
            if (proxyResponse.StatusCode == HttpStatusCode.UpgradeRequired && proxyResponse.Headers.Upgrade.Count > 0)
                headers.Upgrade = proxyResponse.Headers.Upgrade.ToString();
            await base.TransformResponseAsync(httpContext, proxyResponse, cancellationToken);
            // Sent with the first bytes of the body otherwise; here those may be a long time coming, and the client wants to know that it listens.
            if (proxyResponse.Content.Headers.ContentType?.MediaType == "text/event-stream")
                await httpContext.Response.Body.FlushAsync(cancellationToken);
            return true;
        }
    }
}

static class RoleProblems
{
    public static readonly Problem Missing = new("gateway/role-missing", 503, "No process of this endpoint's role is known here: set Gateway:Roles:ROLE:Addresses to where it listens.");
    public static readonly Problem Away = new("gateway/role-away", 503, "No process of this endpoint's role can be reached; nothing was done. Try again in a moment.");
    public static readonly Problem OutcomeUnknown = new("gateway/outcome-unknown", 502,
        "The process that worked on this request is gone; whether it was done is not known. Look before you send it again, or send it with an Idempotency-Key where the endpoint takes one.");
}
