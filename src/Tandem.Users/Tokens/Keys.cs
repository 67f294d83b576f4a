using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Data;

namespace Tandem.Users.Tokens;

/// <summary>
/// The keys tokens are made with: one for the signature of tokens (ECDSA on P-256), one for the encryption of those that only this server reads, refresh
/// tokens and codes (256 bits), and where a client wants RS256, one for the signature of its ID tokens (RSA, 2048 bits). They live in the database, so that
/// every process has the same, and are made on the first use.
/// <see cref="KeyRotation"/> replaces them, <see cref="KeyRing"/> holds them for checking.
/// </summary>
sealed class Keys(Db db, TimeProvider clock, ILogger<Keys> logger)
{
    /// <summary>Signs.</summary>
    public const string Access = "access";

    /// <summary>Encrypts.</summary>
    public const string Refresh = "refresh";

    /// <summary>Signs the ID tokens of clients that want RS256. There is none before the first of them comes.</summary>
    public const string Identity = "identity";

    // What RFC 7518, 3.3 asks for at least; a key lives for months, and each bit more is paid for with every signature.
    const int RsaBits = 2048;

    const int NonceSize = 12;
    const int TagSize = 16;

    /// <summary>The key new tokens are signed with.</summary>
    public Task<StoredKey> SigningAsync(CancellationToken ct) => CurrentAsync(Access, ct);

    /// <summary>The key that new ID tokens of RS256 are signed with.</summary>
    public Task<StoredKey> IdentityAsync(CancellationToken ct) => CurrentAsync(Identity, ct);

    /// <summary>The key new refresh tokens are encrypted with.</summary>
    public Task<StoredKey> EncryptionAsync(CancellationToken ct) => CurrentAsync(Refresh, ct);

    /// <summary>Seals what must not be read in a copy of its table: AES-256-GCM, by a key that is derived (RFC 5869) from the one of refresh tokens.</summary>
    /// <param name="purpose">What it is, and whose: only with the same words it is opened again.</param>
    public async Task<(string KeyId, byte[] Box)> SealAsync(byte[] secret, string purpose, CancellationToken ct)
    {
        var key = await EncryptionAsync(ct);
        var box = new byte[NonceSize + secret.Length + TagSize];
        RandomNumberGenerator.Fill(box.AsSpan(0, NonceSize));
        using var aes = new AesGcm(Derived(key), TagSize);
        aes.Encrypt(box.AsSpan(0, NonceSize), secret, box.AsSpan(NonceSize, secret.Length), box.AsSpan(NonceSize + secret.Length), Encoding.UTF8.GetBytes(purpose));
        return (key.Id, box);
    }

    /// <inheritdoc cref="SealAsync"/>
    /// <exception cref="CryptographicException">It was changed, or is of another purpose.</exception>
    public async Task<byte[]> OpenAsync(string keyId, byte[] box, string purpose, CancellationToken ct)
    {
        var key = await SealingAsync(keyId, ct) ?? throw new InvalidOperationException($"The key {keyId} is gone, and with it what was sealed by it.");
        return Open(key, box, purpose);
    }

    /// <summary>Opens what came from somebody who may have made it up.</summary>
    /// <returns>Null when it was not sealed here, not for this purpose, or by a key that is gone.</returns>
    public async Task<byte[]?> TryOpenAsync(string keyId, byte[] box, string purpose, CancellationToken ct)
    {
        if (box.Length < NonceSize + TagSize || await SealingAsync(keyId, ct) is not { } key)
            return null;
        try
        {
            return Open(key, box, purpose);
        }
        catch (AuthenticationTagMismatchException)
        {
            return null;
        }
    }

    Task<StoredKey?> SealingAsync(string id, CancellationToken ct) => db.FindAsync<StoredKey>($"select id, secret from users_signing_keys where id = {id} and purpose = {Refresh}", ct);

    static byte[] Open(StoredKey key, byte[] box, string purpose)
    {
        var secret = new byte[box.Length - NonceSize - TagSize];
        using var aes = new AesGcm(Derived(key), TagSize);
        aes.Decrypt(box.AsSpan(0, NonceSize), box.AsSpan(NonceSize, secret.Length), box.AsSpan(NonceSize + secret.Length), secret, Encoding.UTF8.GetBytes(purpose));
        return secret;
    }

    static byte[] Derived(StoredKey key) => HKDF.DeriveKey(HashAlgorithmName.SHA256, key.Secret, 32, info: "tandem sealed secrets"u8.ToArray());

    async Task<StoredKey> CurrentAsync(string purpose, CancellationToken ct)
    {
        if (await FindAsync(purpose, ct) is { } known)
            return known;
        var (key, now) = (New(purpose), clock.UtcNow());
        if (await db.ExecuteAsync(Insert(key, purpose, now, now), ct) == 1)
            logger.KeyMade(key.Id, now);
        return await FindAsync(purpose, ct) ?? throw new InvalidOperationException($"The {purpose} key was revoked while it was made; try again.");
    }

    /// <remarks>By a clock that is behind the one that made the first key, none signs yet: then it is that one.</remarks>
    Task<StoredKey?> FindAsync(string purpose, CancellationToken ct)
    {
        var now = clock.UtcNow();
        return db.FindAsync<StoredKey>($"""
            select id, secret from users_signing_keys where purpose = {purpose} order by case when signs_from <= {now} then 0 else 1 end, case when signs_from <= {now} then signs_from end desc, signs_from
            limit 1
            """, ct);
    }

    /// <summary>A key that is stored nowhere yet.</summary>
    public static StoredKey New(string purpose) => new(Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(12)), purpose switch
    {
        Access => Pkcs8Of(ECDsa.Create(ECCurve.NamedCurves.nistP256)),
        Identity => Pkcs8Of(RSA.Create(RsaBits)),
        _ => RandomNumberGenerator.GetBytes(32),
    });

    /// <summary>Stores a key behind the last one; changes no row when that has not been retired.</summary>
    public static Sql Insert(StoredKey key, string purpose, DateTime now, DateTime signsFrom) => $"""
        insert into users_signing_keys (id, purpose, secret, created_at, signs_from) values ({key.Id}, {purpose}, {key.Secret}, {now}, {signsFrom})
        on conflict (purpose) where retired_at is null do nothing
        """;

    static byte[] Pkcs8Of(AsymmetricAlgorithm fresh)
    {
        using (fresh)
            return fresh.ExportPkcs8PrivateKey();
    }
}

/// <param name="Id">Public: the <c>kid</c> of tokens.</param>
/// <param name="Secret">PKCS#8 for a signing key, 32 bytes for an encryption key. Never logged.</param>
sealed record StoredKey(string Id, byte[] Secret)
{
    public override string ToString() => Id;
}
