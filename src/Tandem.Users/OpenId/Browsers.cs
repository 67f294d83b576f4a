using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Users.OpenId;

/// <summary>
/// The browsers people are signed in with. A browser has one cookie of 256 random bits. Before the sign-in it only ties a form to the browser that
/// was shown it; with the sign-in it is drawn anew, and its digest is in the sessions table. Whoever reads the table signs in with nothing there.
/// </summary>
sealed class Browsers(Db db, Sessions sessions, UsersOptions options, TimeProvider clock)
{
    const int CookieBytes = 32;

    // A session that is used all the time need not be written each time.
    static readonly TimeSpan TouchInterval = TimeSpan.FromMinutes(1);

    static readonly object CookieKey = new();

    readonly bool _isPublic = options.Issuer.StartsWith("https:", StringComparison.OrdinalIgnoreCase);

    /// <returns>Who is signed in with the browser; null for nobody.</returns>
    public async Task<Browser?> FindAsync(HttpContext http, CancellationToken ct)
    {
        if (Read(http) is not { } cookie)
            return null;
        var (digest, now) = (DigestOf(cookie), clock.UtcNow());
        var row = await db.FindAsync<Row>($"""
            select id, account_id, coalesce(authenticated_at, created_at) as signed_in_at, last_used_at from users_sessions where cookie_digest = {digest} and ended_at is null and expires_at > {now}
            """, ct);
        if (row is null)
            return null;
        if (now - row.LastUsedAt > TouchInterval)
            await db.ExecuteAsync($"""
                update users_sessions set last_used_at = {now}, expires_at = {now + options.RefreshTokenLifetime} where id = {row.Id} and ended_at is null
                """, ct);
        return new Browser(row.Id, row.AccountId, row.SignedInAt);
    }

    /// <summary>Makes a session that was just opened the browser's, under another cookie than before. What the browser was signed in as ends with it.</summary>
    /// <param name="http">The request that signed in.</param>
    /// <param name="session">The new session.</param>
    /// <param name="before">What the browser was signed in as.</param>
    /// <param name="ct">Honoured until the change begins.</param>
    public async Task<Browser> BeginAsync(HttpContext http, Session session, Browser? before, CancellationToken ct)
    {
        var (cookie, now) = (NewCookie(), clock.UtcNow());
        var browser = await db.InTransactionAsync(async tx =>
        {
            var row = await tx.FindAsync<Row>($"""
                update users_sessions set cookie_digest = {DigestOf(cookie)} where id = {session.Id} and ended_at is null
                returning id, account_id, coalesce(authenticated_at, created_at) as signed_in_at, last_used_at
                """, ct);
            if (before is not null)
            {
                // The same person again: its clients go on. Another one: they end.
                await tx.ExecuteAsync($"update users_sessions set browser_id = {session.Id} where browser_id = {before.SessionId} and account_id = {session.AccountId}", ct);
                await sessions.EndAsync(tx, $"(id = {before.SessionId} or browser_id = {before.SessionId})", "signed in anew", Origin.Of(http).As(session.AccountId, session.Id), now, ct);
            }

            return row is null ? null : new Browser(row.Id, row.AccountId, row.SignedInAt);
        }, ct);
        Write(http, cookie);
        // Null: ended a moment ago, by an administrator. The next look-up says so.
        return browser ?? new Browser(session.Id, session.AccountId, now);
    }

    /// <summary>Signs the browser out, and every client that was signed in to with it.</summary>
    /// <param name="which">The browser's session.</param>
    /// <param name="origin">Who does it.</param>
    /// <param name="ct">Honoured until the change begins.</param>
    public Task EndAsync(Guid which, Origin origin, CancellationToken ct)
    {
        var now = clock.UtcNow();
        return db.InTransactionAsync(tx => sessions.EndAsync(tx, $"(id = {which} or browser_id = {which})", Sessions.ByOwner, origin, now, ct), ct);
    }

    /// <returns>The browser's session from which a client's was opened; null when there is no such session.</returns>
    public Task<Guid?> OfClientAsync(Guid session, CancellationToken ct) => db.FindAsync<Guid?>($"select browser_id from users_sessions where id = {session}", ct);

    /// <summary>What a form carries so that its answer is known to come from a page that this browser was shown.</summary>
    public string FormToken(HttpContext http)
    {
        if (Read(http) is not { } cookie)
            Write(http, cookie = NewCookie());
        return TokenOf(cookie);
    }

    /// <summary>Does the form come from a page that this browser was shown, and under the same sign-in?</summary>
    public bool IsOwnForm(HttpContext http, string token) => Read(http) is { } cookie
        && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(token), Encoding.UTF8.GetBytes(TokenOf(cookie)));

    // With the prefix a browser takes the cookie from this host alone, over https, for all of it: no neighbour under the same domain can set it.
    string NameFor(HttpRequest request) => IsSecure(request) ? "__Host-tandem" : "tandem";

    bool IsSecure(HttpRequest request) => request.IsHttps || _isPublic;

    string? Read(HttpContext http) => http.Items.TryGetValue(CookieKey, out var written) ? (string)written! // Write puts nothing else there
        : http.Request.Cookies[NameFor(http.Request)] is { Length: 43 } cookie ? cookie : null;

    void Write(HttpContext http, string cookie)
    {
        http.Items[CookieKey] = cookie;
        http.Response.Cookies.Append(NameFor(http.Request), cookie,
            new CookieOptions { HttpOnly = true, Secure = IsSecure(http.Request), SameSite = SameSiteMode.Lax, Path = "/" });
    }

    static string NewCookie() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(CookieBytes));

    static string DigestOf(string cookie) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(cookie)));

    static string TokenOf(string cookie) => Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes("form " + cookie)));

    sealed record Row(Guid Id, long AccountId, DateTime SignedInAt, DateTime LastUsedAt);
}

/// <param name="SessionId">Its row in the sessions table.</param>
/// <param name="AccountId">Who is signed in.</param>
/// <param name="SignedInAt">When the person last showed who he is, UTC.</param>
sealed record Browser(Guid SessionId, long AccountId, DateTime SignedInAt);
