using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Data;

namespace Tandem.Core.Http;

/// <summary>
/// The Idempotency-Key of a request (draft-ietf-httpapi-idempotency-key-header): who repeats a request with its key gets the first one's answer,
/// and nothing happens a second time. A handler takes it as a parameter, null where the client sent none, and writes through
/// <see cref="Idempotency.OnceAsync"/>.
/// </summary>
/// <remarks>
/// A key belongs to the account that sent it; where nobody is signed in, to the path. It is 1 to 255 printable ASCII characters and is remembered
/// for Http:IdempotencyLifetime.
/// </remarks>
public sealed class IdempotencyKey : IEndpointParameterMetadataProvider
{
    internal const string Header = "Idempotency-Key";

    const int MaxLength = 255;

    IdempotencyKey(string scope, string value, string fingerprint, DateTime now, DateTime expiresAt) =>
        (Scope, Value, Fingerprint, Now, ExpiresAt) = (scope, value, fingerprint, now, expiresAt);

    internal string Scope { get; }
    internal string Value { get; }

    /// <summary>What the request is recognised by.</summary>
    internal string Fingerprint { get; }

    internal DateTime Now { get; }
    internal DateTime ExpiresAt { get; }

    internal static bool IsGiven(HttpRequest request) => request.Headers.ContainsKey(Header);

    /// <exception cref="ProblemException">http/invalid (422): the header cannot be a key.</exception>
    internal static IdempotencyKey Of(HttpContext context, ReadOnlySpan<byte> body)
    {
        using var hash = NewHash(context.Request);
        hash.AppendData(body);
        return Of(context, hash);
    }

    /// <summary>The same request is then recognised by these values and not by its body, whose hash would be kept: for bodies that hold a secret.</summary>
    public IdempotencyKey About(params ReadOnlySpan<string> values)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var value in values)
            hash.AppendData(Encoding.UTF8.GetBytes(value.Length.ToString(CultureInfo.InvariantCulture) + " " + value));
        return new IdempotencyKey(Scope, Value, Convert.ToHexStringLower(hash.GetHashAndReset()), Now, ExpiresAt);
    }

    /// <summary>Called by the framework to fill a handler's parameter; null where the client sent no key.</summary>
    /// <exception cref="ProblemException">http/invalid (422): the header cannot be a key.</exception>
    public static async ValueTask<IdempotencyKey?> BindAsync(HttpContext httpContext, ParameterInfo parameter)
    {
        ArgumentNullException.ThrowIfNull(httpContext);
        var request = httpContext.Request;
        if (!IsGiven(request))
            return null;
        // A JSON body has been read by now; any other is kept here for the handler, which reads it after us.
        if (!request.Body.CanSeek)
            request.EnableBuffering();
        using var hash = NewHash(request);
        var buffer = ArrayPool<byte>.Shared.Rent(4096);
        try
        {
            request.Body.Position = 0;
            int read;
            while ((read = await request.Body.ReadAsync(buffer, httpContext.RequestAborted)) > 0)
                hash.AppendData(buffer, 0, read);
            request.Body.Position = 0;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        return Of(httpContext, hash);
    }

    /// <summary>Says for OpenAPI that the endpoint honours the header.</summary>
    static void IEndpointParameterMetadataProvider.PopulateMetadata(ParameterInfo parameter, EndpointBuilder builder)
    {
        foreach (var metadata in Documentation)
            builder.Metadata.Add(metadata);
    }

    internal static object[] Documentation { get; } = [new Mark(), HttpProblems.Invalid, HttpProblems.IdempotencyKeyReused];

    static IncrementalHash NewHash(HttpRequest request)
    {
        var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes($"{request.Method} {request.PathBase}{request.Path}{request.QueryString}\n"));
        return hash;
    }

    static IdempotencyKey Of(HttpContext context, IncrementalHash hash)
    {
        var (request, services) = (context.Request, context.RequestServices);
        var now = services.GetRequiredService<TimeProvider>().UtcNow();
        var scope = context.Features.Get<Caller>() is { } caller
            // Clients that act for themselves have no account, and must not get each other's answers.
            ? caller.AccountId == 0 ? caller.SessionId.ToString() : caller.AccountId.ToString(CultureInfo.InvariantCulture)
            : $"{request.PathBase}{request.Path}";
        return new IdempotencyKey(scope, Read(request), Convert.ToHexStringLower(hash.GetHashAndReset()), now, now + services.GetRequiredService<HttpOptions>().IdempotencyLifetime);
    }

    static string Read(HttpRequest request) =>
        request.Headers[Header] is [{ Length: > 0 and <= MaxLength } key] && key.All(c => c is >= ' ' and <= '~')
            ? key
            // As if it were not there, a repetition would happen twice.
            : throw new ProblemException(HttpProblems.Invalid, null, new Dictionary<string, string[]> { [Header] = ["must be 1 to 255 printable ASCII characters, once"] });

    internal sealed record Mark;
}

/// <summary>Transactions that happen once per key.</summary>
public static class Idempotency
{
    // A connection that breaks is found out about at once; a store that fell silent has kept the client waiting for longer than this already.
    static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(5);

    /// <summary>
    /// <see cref="Db.InTransactionAsync{T}"/>, once per key: a repetition gets the first one's result and runs nothing. Of two at the same time
    /// the second waits for the first. The result is kept as JSON; the handler makes its answer from it and from nothing else.
    /// </summary>
    /// <param name="db">Where.</param>
    /// <param name="key">As the handler was given it; null: an ordinary transaction.</param>
    /// <param name="body">What to do. When it throws or returns null nothing is remembered, and the key can be used again.</param>
    /// <param name="cancellationToken">Honoured until the body starts; from then on the commit decides.</param>
    /// <exception cref="ProblemException">http/idempotency-key-reused (422): the key belongs to another request.</exception>
    public static Task<T?> OnceAsync<T>(this Db db, IdempotencyKey? key, Func<Transaction, Task<T?>> body, CancellationToken cancellationToken = default) where T : class
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(body);
        return key is null ? db.InTransactionAsync(body, cancellationToken) : KeyedAsync(db, key, body, cancellationToken);
    }

    static async Task<T?> KeyedAsync<T>(Db db, IdempotencyKey key, Func<Transaction, Task<T?>> body, CancellationToken ct) where T : class
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            return await OnceAsync();
        }
        catch (StoreUnavailableException e) when (e.IsInDoubt && Stopwatch.GetElapsedTime(started) < LookAgain)
        {
            // Its key tells what became of it, as it tells the client that comes again.
            return await OnceAsync();
        }

        Task<T?> OnceAsync() => db.InTransactionAsync(async tx =>
        {
            // The key first: on PostgreSQL whoever comes second waits here for the first one's commit and has done nothing yet.
            if (await WriteAsync(tx, key, null) == 0)
                return await EarlierAsync<T>(tx, key);
            var result = await body(tx);
            if (result is null)
                await tx.ExecuteAsync($"delete from core_idempotency where scope = {key.Scope} and key = {key.Value}", CancellationToken.None);
            else
                await WriteAsync(tx, key, JsonSerializer.Serialize(result, Json.Stored));
            return result;
        }, ct);
    }

    /// <summary>Takes a key that is free or has expired; with a result, completes the one taken before.</summary>
    /// <remarks>
    /// Both in one form, and no read before it: to PostgreSQL a read of this table in a serializable transaction would look like a conflict
    /// with everybody who writes a key beside it.
    /// </remarks>
    static Task<int> WriteAsync(Transaction tx, IdempotencyKey key, string? result) => tx.ExecuteAsync($"""
        insert into core_idempotency (scope, key, fingerprint, result, expires_at)
        values ({key.Scope}, {key.Value}, {key.Fingerprint}, {result}, {key.ExpiresAt})
        on conflict (scope, key) do update set fingerprint = excluded.fingerprint, result = excluded.result, expires_at = excluded.expires_at
        where core_idempotency.expires_at <= {key.Now} or core_idempotency.result is null
        """, CancellationToken.None);

    static async Task<T> EarlierAsync<T>(Transaction tx, IdempotencyKey key) where T : class
    {
        var earlier = await tx.FindAsync<Stored>($"select fingerprint, result from core_idempotency where scope = {key.Scope} and key = {key.Value}", CancellationToken.None);
        return earlier is { } found && found.Fingerprint == key.Fingerprint
            ? JsonSerializer.Deserialize<T>(found.Result, Json.Stored) ?? throw new JsonException($"The result kept for an idempotency key is no {typeof(T).Name}.")
            : throw new ProblemException(HttpProblems.IdempotencyKeyReused);
    }

    sealed record Stored(string Fingerprint, string Result);
}
