using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.IdentityModel.Tokens;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Users.Tokens;

/// <summary>
/// The keys as this process knows them: what tokens are checked with, and what the token server makes them with. Read again four times a second
/// (<see cref="RevocationWatch"/>); in between the clock alone says whose turn it is.
/// </summary>
sealed class KeyRing(Db db, SessionEnds ends, TimeProvider clock) : IDisposable
{
    // Whoever makes ids up has the database asked no more often than this, however many he sends.
    static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(1);

    static readonly HashSet<Guid> NoSession = [];

    readonly SemaphoreSlim _loading = new(1);
    readonly Lock _looking = new();
    volatile KeySet _set = KeySet.Empty;
    Task _look = Task.CompletedTask;
    long _lookedAt;

    /// <summary>The keys of this moment. The same instance as before means that nothing has changed.</summary>
    public KeySet Now
    {
        get
        {
            var (set, now) = (_set, clock.UtcNow());
            if (now < set.Until)
                return set;
            var turned = new KeySet(set.All, now);
            // Lost against one that was read meanwhile: that is the newer one.
            return Interlocked.CompareExchange(ref _set, turned, set) == set ? turned : _set;
        }
    }

    /// <summary>How often somebody's token had the database asked for its key.</summary>
    public int Looks { get; private set; }

    /// <summary>Finds the public key that a token names. Reads no store.</summary>
    public bool TryFind(string id, [NotNullWhen(true)] out KnownKey? key) => _set.TryFind(id, out key) && key.Verification is not null;

    /// <summary>Is this key still one of ours? Reads no store.</summary>
    public bool Has(string id) => _set.TryFind(id, out _);

    /// <summary>Learns what other processes have made and revoked.</summary>
    public async Task LoadAsync(CancellationToken ct)
    {
        await _loading.WaitAsync(ct);
        try
        {
            var before = _set;
            var rows = await db.ListAsync<Turn>(Sql.Raw("select id, purpose, signs_from, retired_at from users_signing_keys"), ct);
            if (before.Is(rows))
                return;
            var keys = new List<(Turn, KnownKey)>();
            foreach (var row in rows)
                if (before.TryFind(row.Id, out var known))
                    keys.Add((row, known));
                // Null: revoked since the list was read.
                else if (await db.FindAsync<StoredKey>($"select id, secret from users_signing_keys where id = {row.Id}", ct) is { } stored)
                    keys.Add((row, new KnownKey(stored, row.Purpose)));
            var after = new KeySet(keys, clock.UtcNow());
            // Whoever looks has replaced the set only by one of the same keys.
            _set = after;
            var gone = before.All.Where(k => !after.TryFind(k.Key.Id, out _)).ToList();
            foreach (var (_, key) in gone)
                key.IsGone = true;
            if (gone.Count > 0)
                ends.Tell(NoSession);
        }
        finally
        {
            _loading.Release();
        }
    }

    /// <summary>Is there a key of this id, which this process may only not have heard of?</summary>
    /// <remarks>The database is asked once a second at most, for everybody together. A key that was made more than a moment ago is known anyway.</remarks>
    public async ValueTask<bool> LookForAsync(string id)
    {
        if (Has(id))
            return true;
        Task look;
        lock (_looking)
        {
            if (_look.IsCompleted && (Looks == 0 || Stopwatch.GetElapsedTime(_lookedAt) >= LookInterval))
            {
                (_lookedAt, Looks) = (Stopwatch.GetTimestamp(), Looks + 1);
                // On a thread of its own: a store may be read on the thread that asks, and that one holds the lock.
                _look = Task.Run(() => LoadAsync(CancellationToken.None));
            }

            look = _look;
        }

        await look;
        return Has(id);
    }

    /// <summary>The id of the key that a token names, whether it is signed or encrypted; null when it cannot be one of ours.</summary>
    public static string? IdIn(ReadOnlySpan<char> token)
    {
        if (RefreshTokens.KeyIdIn(token) is { } sealing)
            return sealing;
        // The headers of ours have about 100 characters.
        var end = token.IndexOf('.');
        if (end is <= 0 or > 400 || !Base64Url.IsValid(token[..end]))
            return null;
        try
        {
            using var header = JsonDocument.Parse(Base64Url.DecodeFromChars(token[..end]), new JsonDocumentOptions { AllowDuplicateProperties = false, MaxDepth = 4 });
            return header.RootElement.ValueKind == JsonValueKind.Object && header.RootElement.TryGetProperty("kid", out var kid) && kid.ValueKind == JsonValueKind.String
                && kid.GetString() is { Length: 16 } id ? id : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    public void Dispose()
    {
        foreach (var (_, key) in _set.All)
            key.Dispose();
        _loading.Dispose();
    }
}

/// <summary>When a key makes tokens.</summary>
/// <param name="Id">Its <c>kid</c>.</param>
/// <param name="Purpose"><see cref="Keys.Access"/>, <see cref="Keys.Refresh"/> or <see cref="Keys.Identity"/>.</param>
/// <param name="SignsFrom">UTC; may lie ahead.</param>
/// <param name="RetiredAt">UTC, when the next one begins; null for the newest of its purpose.</param>
sealed record Turn(string Id, string Purpose, DateTime SignsFrom, DateTime? RetiredAt)
{
    public bool IsAnnounced(DateTime now) => SignsFrom > now;

    public bool IsOld(DateTime now) => RetiredAt <= now;
}

/// <summary>All keys, and which of them make tokens, from one moment until another.</summary>
sealed class KeySet
{
    public static readonly KeySet Empty = new([], DateTime.MinValue);

    readonly Dictionary<string, (Turn Turn, KnownKey Key)> _keys;

    public KeySet(IReadOnlyCollection<(Turn Turn, KnownKey Key)> keys, DateTime now)
    {
        _keys = keys.ToDictionary(k => k.Turn.Id);
        Until = keys.Where(k => k.Turn.IsAnnounced(now)).Select(k => k.Turn.SignsFrom).DefaultIfEmpty(DateTime.MaxValue).Min();
        Signing = Of(Keys.Access);
        Encryption = Of(Keys.Refresh);
        Identity = Of(Keys.Identity);

        // The one that makes tokens first; then those that will, then those that did.
        KnownKey[] Of(string purpose) =>
        [
            .. keys.Where(k => k.Turn.Purpose == purpose).OrderBy(k => k.Turn.IsOld(now) ? 2 : k.Turn.IsAnnounced(now) ? 1 : 0).ThenByDescending(k => k.Turn.SignsFrom).Select(k => k.Key),
        ];
    }

    /// <summary>Another key begins then.</summary>
    public DateTime Until { get; }

    /// <summary>The first one signs, all of them verify.</summary>
    public IReadOnlyList<KnownKey> Signing { get; }

    /// <summary>The first one encrypts, all of them decrypt.</summary>
    public IReadOnlyList<KnownKey> Encryption { get; }

    /// <summary>As <see cref="Signing"/>, for ID tokens of RS256; empty until a client wants them.</summary>
    public IReadOnlyList<KnownKey> Identity { get; }

    public IReadOnlyCollection<(Turn Turn, KnownKey Key)> All => _keys.Values;

    public IEnumerable<Turn> Turns => _keys.Values.Select(k => k.Turn);

    public bool TryFind(string id, [NotNullWhen(true)] out KnownKey? key)
    {
        key = _keys.GetValueOrDefault(id).Key;
        return key is not null;
    }

    public bool Is(List<Turn> turns) => turns.Count == _keys.Count && turns.All(t => _keys.TryGetValue(t.Id, out var known) && known.Turn == t);
}

/// <summary>A key as it is used. What it is stays as it is; when it is used may change.</summary>
sealed class KnownKey : IDisposable
{
    readonly ECDsa? _ecdsa;

    public KnownKey(StoredKey stored, string purpose)
    {
        Id = stored.Id;
        if (purpose == Keys.Identity)
        {
            using var rsa = RSA.Create();
            rsa.ImportPkcs8PrivateKey(stored.Secret, out _);
            // Its numbers and not itself: whoever signs at the same time makes an instance of his own.
            SecurityKey = new RsaSecurityKey(rsa.ExportParameters(includePrivateParameters: true)) { KeyId = Id, CryptoProviderFactory = new CryptoProviderFactory() };
            return;
        }

        if (purpose != Keys.Access)
        {
            SecurityKey = new SymmetricSecurityKey(stored.Secret) { KeyId = Id };
            Sealing = HKDF.DeriveKey(HashAlgorithmName.SHA256, stored.Secret, 32, info: "tandem refresh tokens"u8.ToArray());
            return;
        }

        _ecdsa = ECDsa.Create();
        _ecdsa.ImportPkcs8PrivateKey(stored.Secret, out _);
        Verification = new VerificationKey(_ecdsa.ExportParameters(includePrivateParameters: false));
        // A factory of its own: the common one keeps signers by the id of their key, for a later start in this process also when the key is disposed.
        SecurityKey = new ECDsaSecurityKey(_ecdsa) { KeyId = Id, CryptoProviderFactory = new CryptoProviderFactory() };
    }

    public string Id { get; }

    /// <summary>Of one that signs access tokens; null for the others.</summary>
    public VerificationKey? Verification { get; }

    /// <summary>For <see cref="RefreshTokens"/>; null for one that signs.</summary>
    public byte[]? Sealing { get; }

    /// <summary>For the token server.</summary>
    public SecurityKey SecurityKey { get; }

    /// <summary>Set once, and for good, when the key was revoked: what was found right with it no longer is.</summary>
    public bool IsGone
    {
        get => Volatile.Read(ref field);
        set => Volatile.Write(ref field, value);
    }

    /// <remarks>Only when the program ends: of a key that was revoked, somebody may just be checking a token.</remarks>
    public void Dispose()
    {
        _ecdsa?.Dispose();
        Verification?.Dispose();
    }
}

/// <summary>Checks signatures of one key. Instances of ECDsa must not be used by two threads at once, so there is one per thread that asks.</summary>
sealed class VerificationKey(ECParameters publicKey) : IDisposable
{
    readonly ConcurrentBag<ECDsa> _idle = [];

    public bool Verify(ReadOnlySpan<byte> data, ReadOnlySpan<byte> signature)
    {
        if (!_idle.TryTake(out var key))
            key = ECDsa.Create(publicKey);
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
