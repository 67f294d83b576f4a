using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Data;

namespace Tandem.Users.Tokens;

/// <summary>
/// The keys tokens are made with: one for the signature of access tokens (ECDSA on P-256), one for the encryption of refresh tokens
/// (256 bits). They live in the database, so that every process has the same, and are made on the first use.
/// </summary>
sealed class Keys(Db db, TimeProvider clock, ILogger<Keys> logger) : IDisposable
{
    const string Access = "access";
    const string Refresh = "refresh";

    const int NonceSize = 12;
    const int TagSize = 16;

    readonly ConcurrentDictionary<string, VerificationKey> _verification = new();

    /// <summary>The key new access tokens are signed with.</summary>
    public async Task<StoredKey> SigningAsync(CancellationToken ct)
    {
        var key = await CurrentAsync(Access, NewSigningKey, ct);
        Know(key);
        return key;
    }

    /// <summary>The key refresh tokens are encrypted with.</summary>
    public Task<StoredKey> EncryptionAsync(CancellationToken ct) => CurrentAsync(Refresh, () => RandomNumberGenerator.GetBytes(32), ct);

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

    /// <summary>Finds the public key that a token names. Reads no store: <see cref="LoadAsync"/> has.</summary>
    public bool TryFind(string id, [NotNullWhen(true)] out VerificationKey? key) => _verification.TryGetValue(id, out key);

    /// <summary>Learns of the keys that other processes have made.</summary>
    public async Task LoadAsync(CancellationToken ct)
    {
        foreach (var id in await db.ListAsync<string>($"select id from users_signing_keys where purpose = {Access}", ct))
            if (!_verification.ContainsKey(id)
                && await db.FindAsync<StoredKey>($"select id, secret from users_signing_keys where id = {id}", ct) is { } key)
                Know(key);
    }

    void Know(StoredKey key)
    {
        if (_verification.ContainsKey(key.Id))
            return;
        var made = new VerificationKey(key.Secret);
        if (!_verification.TryAdd(key.Id, made))
            made.Dispose();
    }

    async Task<StoredKey> CurrentAsync(string purpose, Func<byte[]> make, CancellationToken ct)
    {
        if (await FindAsync(purpose, ct) is { } known)
            return known;
        var (id, secret) = (Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(12)), make());
        var made = await db.ExecuteAsync($"""
            insert into users_signing_keys (id, purpose, secret, created_at) values ({id}, {purpose}, {secret}, {clock.UtcNow()})
            on conflict (purpose) where retired_at is null do nothing
            """, ct);
        if (made == 1)
            logger.KeyMade(id);
        return await FindAsync(purpose, ct) ?? throw new InvalidOperationException($"The {purpose} key was retired while it was made; try again.");
    }

    Task<StoredKey?> FindAsync(string purpose, CancellationToken ct) =>
        db.FindAsync<StoredKey>($"select id, secret from users_signing_keys where purpose = {purpose} and retired_at is null", ct);

    static byte[] NewSigningKey()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return key.ExportPkcs8PrivateKey();
    }

    public void Dispose()
    {
        foreach (var key in _verification.Values)
            key.Dispose();
    }
}

/// <param name="Id">Public: the <c>kid</c> of tokens.</param>
/// <param name="Secret">PKCS#8 for a signing key, 32 bytes for an encryption key. Never logged.</param>
sealed record StoredKey(string Id, byte[] Secret)
{
    public override string ToString() => Id;
}

/// <summary>Checks signatures of one key. Instances of ECDsa must not be used by two threads at once, so there is one per thread that asks.</summary>
sealed class VerificationKey : IDisposable
{
    readonly ECParameters _public;
    readonly ConcurrentBag<ECDsa> _idle = [];

    public VerificationKey(byte[] pkcs8)
    {
        using var key = ECDsa.Create();
        key.ImportPkcs8PrivateKey(pkcs8, out _);
        _public = key.ExportParameters(includePrivateParameters: false);
    }

    public bool Verify(ReadOnlySpan<byte> data, ReadOnlySpan<byte> signature)
    {
        if (!_idle.TryTake(out var key))
            key = ECDsa.Create(_public);
        // Not given back when it throws: then it is not known in what state it is.
        var valid = key.VerifyData(data, signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        _idle.Add(key);
        return valid;
    }

    public void Dispose()
    {
        while (_idle.TryTake(out var key))
            key.Dispose();
    }
}
