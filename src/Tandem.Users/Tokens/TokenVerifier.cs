using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.OpenId;

namespace Tandem.Users.Tokens;

/// <summary>
/// Checks access tokens: JWTs (RFC 7519) of the profile RFC 9068, signed with ES256 and nothing else. A token that was seen before costs a
/// look-up; its expiry and its session are looked at every time. So is an API key, once its row was read.
/// </summary>
sealed class TokenVerifier(KeyRing keys, ApiKeys apiKeys, Revocations revocations, LastUse lastUse, UsersOptions options, TimeProvider clock) : ITokenVerifier
{
    // Ours have about 600 characters.
    const int MaxLength = 4096;

    // Two generations of these: about 20 MB when full of tokens that are all in use.
    const int MaxSeen = 4096;

    // Other processes' clocks may be a little ahead (nbf); nobody's token lives longer for it (exp).
    const long SkewSeconds = 60;

    readonly string _issuer = new Uri(options.Issuer).AbsoluteUri;
    readonly string _userInfo = ClientScopes.UserInfo(options);
    ConcurrentDictionary<string, Seen> _young = new();
    ConcurrentDictionary<string, Seen> _old = new();

    public bool TryVerify(ReadOnlySpan<char> token, [NotNullWhen(true)] out Caller? caller)
    {
        caller = TryFind(token, out var seen) && seen.IsForApi ? seen.Caller : null;
        return caller is not null;
    }

    /// <summary>The same for an access token that may be good for /userinfo alone. It opens no endpoint of the API.</summary>
    public bool TryVerifyAny(ReadOnlySpan<char> token, [NotNullWhen(true)] out Caller? caller)
    {
        caller = TryFind(token, out var seen) && !seen.Caller.IsApiKey ? seen.Caller : null;
        return caller is not null;
    }

    bool TryFind(ReadOnlySpan<char> token, [NotNullWhen(true)] out Seen? seen)
    {
        if (!_young.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(token, out seen))
        {
            if (!_old.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(token, out seen) && (seen = Check(token)) is null)
                return false;
            Remember(token.ToString(), seen);
        }

        var now = clock.GetUtcNow().UtcTicks;
        if (now >= seen.ExpiresTicks || seen.Key is { IsGone: true } || revocations.Contains(seen.Caller.SessionId))
            return false;
        Note(seen, now);
        return true;
    }

    public bool IsHonoured(Caller caller)
    {
        ArgumentNullException.ThrowIfNull(caller);
        return clock.GetUtcNow().UtcDateTime < caller.ExpiresAt && (caller.KeyId is not { } key || keys.Has(key)) && !revocations.Contains(caller.SessionId);
    }

    /// <remarks>
    /// Found again by its whole text in a table whose hash is seeded anew in each process: how long that takes tells nothing of what is in it.
    /// </remarks>
    public async ValueTask<Caller?> FindAsync(string token, HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(token);
        if (!token.StartsWith(ApiKeyText.Prefix, StringComparison.Ordinal))
            // Another process may have begun to sign with a key a moment ago.
            return KeyRing.IdIn(token) is { } id && !keys.Has(id) && await keys.LookForAsync(id) && TryVerify(token, out var signed) ? signed : null;
        // The caller's thread may be an event loop's (NeverBlocks), and a store may be read on the thread that asks.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        if (await apiKeys.FindAsync(token, context) is not var (caller, lastUsedAt))
            return null;
        var now = clock.GetUtcNow().UtcTicks;
        var seen = new Seen(caller, null, true, Math.Min(caller.ExpiresAt.Ticks, now + ApiKeys.Trust.Ticks)) { NotedTicks = lastUsedAt.Ticks };
        Remember(token, seen);
        Note(seen, now);
        return revocations.Contains(caller.SessionId) ? null : caller;
    }

    void Note(Seen seen, long now)
    {
        if (now - seen.NotedTicks < LastUse.Step.Ticks)
            return;
        seen.NotedTicks = now;
        lastUse.Note(seen.Caller.SessionId, clock.UtcNow());
    }

    /// <summary>When the young generation is full it becomes the old one, and what was old and not used since is forgotten: no clock, no sweep.</summary>
    void Remember(string token, Seen seen)
    {
        var young = _young;
        if (young.Count >= MaxSeen && Interlocked.CompareExchange(ref _young, new ConcurrentDictionary<string, Seen>(), young) == young)
            _old = young;
        _young[token] = seen;
    }

    /// <returns>Null for anything that is not exactly a token of ours.</returns>
    Seen? Check(ReadOnlySpan<char> token)
    {
        if (token.Length > MaxLength || !System.Text.Ascii.IsValid(token))
            return null;
        var bytes = new byte[token.Length];
        Encoding.ASCII.GetBytes(token, bytes);
        var headerEnd = bytes.AsSpan().IndexOf((byte)'.');
        var payloadEnd = bytes.AsSpan().LastIndexOf((byte)'.');
        if (headerEnd <= 0 || payloadEnd <= headerEnd + 1)
            return null;
        if (!TryDecode(bytes.AsSpan(payloadEnd + 1), out var signature) || signature.Length != 64
            || !TryDecode(bytes.AsSpan(0, headerEnd), out var header)
            || !TryDecode(bytes.AsSpan(headerEnd + 1, payloadEnd - headerEnd - 1), out var payload))
            return null;
        try
        {
            // The header only chooses among our keys. What it says of the algorithm must be what we sign with; it never decides.
            if (ReadHeader(header) is not { } keyId || !keys.TryFind(keyId, out var key) || !key.Verification!.Verify(bytes.AsSpan(0, payloadEnd), signature)) // found as one that signs
                return null;
            return ReadPayload(payload, key);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    static string? ReadHeader(byte[] json)
    {
        using var document = JsonDocument.Parse(json, Strict);
        var header = document.RootElement;
        return header.ValueKind == JsonValueKind.Object && Text(header, "alg") == "ES256" && Text(header, "typ") == "at+jwt" && !header.TryGetProperty("crit", out _)
            ? Text(header, "kid")
            : null;
    }

    Seen? ReadPayload(byte[] json, KnownKey key)
    {
        using var document = JsonDocument.Parse(json, Strict);
        var payload = document.RootElement;
        var now = clock.GetUtcNow().ToUnixTimeSeconds();
        if (payload.ValueKind != JsonValueKind.Object
            || Text(payload, "iss") != _issuer
            || Text(payload, "aud") is not { } audience || audience != TokenServer.Audience && audience != _userInfo
            || !TryNumber(payload, "exp", out var expires) || expires <= now
            || payload.TryGetProperty("nbf", out _) && (!TryNumber(payload, "nbf", out var from) || from > now + SkewSeconds)
            || !TryAccount(payload, out var account)
            || !Guid.TryParseExact(Text(payload, "sid"), "D", out var session))
            return null;
        var scopes = Text(payload, "scope")?.Split(' ', StringSplitOptions.RemoveEmptyEntries).Where(s => s != "offline_access") ?? [];
        var ends = DateTimeOffset.FromUnixTimeSeconds(expires).UtcDateTime;
        var caller = new Caller(account, session, Text(payload, "role") == TokenServer.Administrator, scopes) { ClientId = Text(payload, "client_id"), ExpiresAt = ends, KeyId = key.Id, ImpersonatorId = Impersonator(payload) };
        // With its token a session is used when that is made; from then on it is noted.
        return new Seen(caller, key, audience == TokenServer.Audience, ends.Ticks) { NotedTicks = TryNumber(payload, "iat", out var made) ? DateTimeOffset.FromUnixTimeSeconds(made).UtcTicks : 0 };
    }

    /// <summary>The administrator among those who act (RFC 8693, 4.1): behind the clients that his token went through. Ids of clients are no numbers.</summary>
    static long? Impersonator(JsonElement payload)
    {
        for (var acts = payload; acts.TryGetProperty("act", out var actor) && actor.ValueKind == JsonValueKind.Object; acts = actor)
            if (long.TryParse(Text(actor, "sub"), NumberStyles.None, CultureInfo.InvariantCulture, out var administrator))
                return administrator;
        return null;
    }

    /// <summary>The account that the token stands for; 0, which nobody has, for a client that acts for itself. Ids of clients are no numbers.</summary>
    static bool TryAccount(JsonElement payload, out long account) =>
        long.TryParse(Text(payload, "sub"), NumberStyles.None, CultureInfo.InvariantCulture, out account)
        || Text(payload, "sub") is { } subject && subject == Text(payload, "client_id");

    // Of two members with one name another reader may take the other one.
    static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false, MaxDepth = 8 };

    static string? Text(JsonElement json, string name) =>
        json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    static bool TryNumber(JsonElement json, string name, out long number)
    {
        number = 0;
        return json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out number)
            && number is >= 0 and <= 253402300799; // the last second of the year 9999
    }

    static bool TryDecode(ReadOnlySpan<byte> text, out byte[] bytes)
    {
        bytes = [];
        if (!Base64Url.IsValid(text) || text.ContainsAny(" \t\r\n="u8))
            return false;
        bytes = Base64Url.DecodeFromUtf8(text);
        return true;
    }

    sealed class Seen(Caller caller, KnownKey? key, bool isForApi, long expiresTicks)
    {
        public Caller Caller => caller;

        /// <summary>Otherwise it is good for /userinfo alone.</summary>
        public bool IsForApi => isForApi;

        /// <summary>What its signature was checked with; null for an API key.</summary>
        public KnownKey? Key => key;

        public long ExpiresTicks => expiresTicks;

        /// <summary>When it was last noted that the token is used. Two threads at once note it twice, which does no harm.</summary>
        public long NotedTicks { get; set; }
    }
}
