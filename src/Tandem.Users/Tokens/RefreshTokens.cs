using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using OpenIddict.Abstractions;
using Tandem.Core;
using Tandem.Users.OpenId;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.Tokens;

/// <summary>
/// Writes refresh tokens and reads them. Only this server does: they are no JWTs but a sealed box, which takes no signature to make or to check.
/// </summary>
/// <remarks>
/// <c>tdr_</c>, the id of the key in 16 characters, and in base64url: 16 bytes, from which and the key HMAC-SHA256 makes the key of this one token; a nonce of 12 bytes; what it says,
/// encrypted by AES-256-GCM; the tag of 16 bytes. Prefix and id of the key are authenticated too. The 16 bytes and the nonce are themselves an HMAC of what is said, as in SIV (RFC 5297): the
/// same is written in the same way by every process, which two tabs that refresh at once rely on, and what differs has a key of its own.
/// </remarks>
sealed class RefreshTokens(KeyRing keys)
{
    public const string Prefix = "tdr_";

    // A decoder would pass over them.
    static readonly SearchValues<char> NotOurs = SearchValues.Create(" \t\r\n=");

    const int IdLength = 16, SaltSize = 16, NonceSize = 12, TagSize = 16;

    // Scopes and the name of a client.
    const int MaxLength = 8192;

    public string Write(RefreshToken token)
    {
        var key = keys.Now.Encryption[0];
        var said = token.ToBytes();
        var box = new byte[SaltSize + NonceSize + said.Length + TagSize];
        Span<byte> mark = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(key.Sealing, said, mark);
        mark[..(SaltSize + NonceSize)].CopyTo(box);
        var head = Prefix + key.Id;
        using var aes = OneTime(key, box);
        aes.Encrypt(box.AsSpan(SaltSize, NonceSize), said, box.AsSpan(SaltSize + NonceSize, said.Length), box.AsSpan(^TagSize..), Encoding.ASCII.GetBytes(head));
        return head + Base64Url.EncodeToString(box);
    }

    /// <returns>What it says; null for anything that was not written here, by a key that is still known. It may have expired.</returns>
    public async ValueTask<RefreshToken?> ReadAsync(string text)
    {
        // Another process may have begun to write with a key a moment ago.
        if (KeyIdIn(text) is not { } id || text.AsSpan().ContainsAny(NotOurs) || !Base64Url.IsValid(text.AsSpan(Prefix.Length + IdLength), out var size) || size <= SaltSize + NonceSize + TagSize
            || !keys.Has(id) && !await keys.LookForAsync(id) || !keys.Now.TryFind(id, out var key) || key.Sealing is null)
            return null;
        var box = Base64Url.DecodeFromChars(text.AsSpan(Prefix.Length + IdLength));
        var said = new byte[size - SaltSize - NonceSize - TagSize];
        try
        {
            using var aes = OneTime(key, box);
            aes.Decrypt(box.AsSpan(SaltSize, NonceSize), box.AsSpan(SaltSize + NonceSize, said.Length), box.AsSpan(^TagSize..), said, Encoding.ASCII.GetBytes(Prefix + id));
            return RefreshToken.Of(said);
        }
        catch (AuthenticationTagMismatchException)
        {
            return null;
        }
    }

    /// <returns>The id of the key that such a token names; null when it cannot be one.</returns>
    public static string? KeyIdIn(ReadOnlySpan<char> text) =>
        text.Length > Prefix.Length + IdLength && text.Length <= MaxLength && text.StartsWith(Prefix, StringComparison.Ordinal) ? text.Slice(Prefix.Length, IdLength).ToString() : null;

    static AesGcm OneTime(KnownKey key, byte[] box)
    {
        Span<byte> own = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(key.Sealing, box.AsSpan(0, SaltSize), own);
        return new AesGcm(own, TagSize);
    }

    /// <summary>Writes the refresh tokens that OpenIddict gives out.</summary>
    public ValueTask WriteAsync(GenerateTokenContext context)
    {
        if (context.TokenType != TokenTypeIdentifiers.RefreshToken)
            return ValueTask.CompletedTask;
        var said = context.Principal;
        var expires = said.GetExpirationDate() ?? throw new InvalidOperationException("A refresh token without an end.");
        context.Token = Write(new RefreshToken(Guid.Parse(said.GetClaim(ClientGrants.SessionClaim)!), int.Parse(said.GetClaim(ClientGrants.GenerationClaim)!, CultureInfo.InvariantCulture),
            long.Parse(said.GetClaim(Claims.Subject)!, CultureInfo.InvariantCulture), said.GetClaim(ClientGrants.ClientClaim), string.Join(' ', said.GetScopes()), // TokenGrants and ClientGrants have put them there
            (said.GetCreationDate() ?? expires).UtcDateTime, expires.UtcDateTime));
        return ValueTask.CompletedTask;
    }

    /// <summary>Reads them for OpenIddict, which asks the same of what they say as of what it has read itself.</summary>
    public async ValueTask ReadAsync(ValidateTokenContext context)
    {
        if (context.ValidTokenTypes.Count > 0 && !context.ValidTokenTypes.Contains(TokenTypeIdentifiers.RefreshToken) || await ReadAsync(context.Token) is not { } token)
            return;
        var identity = new ClaimsIdentity("Refresh token", Claims.Name, Claims.Role);
        identity.SetTokenType(TokenTypeIdentifiers.RefreshToken);
        identity.SetCreationDate(token.MadeAt);
        identity.SetExpirationDate(token.ExpiresAt);
        identity.SetClaim(Claims.Subject, token.AccountId.ToString(CultureInfo.InvariantCulture));
        identity.SetClaim(ClientGrants.SessionClaim, token.SessionId.ToString());
        identity.SetClaim(ClientGrants.GenerationClaim, token.Generation.ToString(CultureInfo.InvariantCulture));
        identity.SetScopes(Client.Words(token.Scopes));
        if (token.ClientId is { } client)
        {
            identity.SetClaim(ClientGrants.ClientClaim, client);
            identity.SetPresenters(client);
        }

        context.Principal = new ClaimsPrincipal(identity);
    }
}

/// <summary>What a refresh token says.</summary>
/// <param name="SessionId">The family it belongs to.</param>
/// <param name="Generation">Which one of that it is.</param>
/// <param name="AccountId">Whose.</param>
/// <param name="ClientId">The client that has it; null for the person itself.</param>
/// <param name="Scopes">Separated by blanks.</param>
/// <param name="MadeAt">UTC, to the second.</param>
/// <param name="ExpiresAt">UTC, to the second.</param>
sealed record RefreshToken(Guid SessionId, int Generation, long AccountId, string? ClientId, string Scopes, DateTime MadeAt, DateTime ExpiresAt)
{
    public byte[] ToBytes()
    {
        using var bytes = new MemoryStream();
        using var writer = new BinaryWriter(bytes);
        writer.Write(SessionId.ToByteArray());
        writer.Write(Generation);
        writer.Write(AccountId);
        writer.Write(ClientId ?? "");
        writer.Write(Scopes);
        writer.Write(new DateTimeOffset(MadeAt).ToUnixTimeSeconds());
        writer.Write(new DateTimeOffset(ExpiresAt).ToUnixTimeSeconds());
        return bytes.ToArray();
    }

    /// <param name="bytes">Of <see cref="ToBytes"/>: they are known to be ours.</param>
    public static RefreshToken Of(byte[] bytes)
    {
        using var reader = new BinaryReader(new MemoryStream(bytes));
        return new RefreshToken(new Guid(reader.ReadBytes(16)), reader.ReadInt32(), reader.ReadInt64(), reader.ReadString() is { Length: > 0 } client ? client : null, reader.ReadString(),
            DateTimeOffset.FromUnixTimeSeconds(reader.ReadInt64()).UtcDateTime, DateTimeOffset.FromUnixTimeSeconds(reader.ReadInt64()).UtcDateTime);
    }
}
