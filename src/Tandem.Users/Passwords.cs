using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using NSec.Cryptography;
using Tandem.Core.Http;

namespace Tandem.Users;

/// <summary>
/// Hashes and checks passwords by Argon2id (RFC 9106) with OWASP's parameters: 19 MiB, two passes, one lane; about 20 ms of one core.
/// </summary>
/// <remarks>
/// A hash carries its parameters in the PHC string format (<c>$argon2id$v=19$m=19456,t=2,p=1$salt$hash</c>), so they can be raised later.
/// What is hashed is the UTF-8 of the password's Unicode form NFC: the same word typed on another keyboard is the same password.
/// As many run at once as there are cores; a bounded queue waits, and whoever does not fit gets 503: a flood of sign-ins takes neither all
/// memory nor the threads that answer everybody else.
/// </remarks>
sealed class Passwords : IDisposable
{
    public const int MinLength = 8;
    // Long enough for any phrase, short enough that nobody hashes megabytes here.
    public const int MaxLength = 256;

    const int MemoryKib = 19 * 1024;
    const int Iterations = 2;
    const int SaltBytes = 16;
    const int HashBytes = 32;
    // A stored hash must not make this process take all memory or time, whoever wrote it.
    const int MaxMemoryKib = 1 << 20;
    const int MaxIterations = 10;
    // 100 hashes are two seconds of one core; who is told to come back then waits no longer than who stands in line.
    const int MaxWaitingPerCore = 100;

    readonly SemaphoreSlim _cores = new(Environment.ProcessorCount);
    // Looks like any stored hash, but no password leads to it: its bytes are drawn.
    readonly string _nobodys = Format(new Parameters(MemoryKib, Iterations), RandomNumberGenerator.GetBytes(SaltBytes), RandomNumberGenerator.GetBytes(HashBytes));
    int _waiting;

    /// <returns>The hash in PHC string format.</returns>
    public Task<string> HashAsync(string password, CancellationToken ct) => RunAsync(() => Hash(password, new Parameters(MemoryKib, Iterations)), ct);

    /// <param name="hash">The stored hash; null for an e-mail that nobody has: then the same work is done for nothing.</param>
    public Task<bool> VerifyAsync(string password, string? hash, CancellationToken ct) =>
        RunAsync(() => Verify(password, hash ?? _nobodys), ct);

    /// <summary>True when the hash was made with less work than a new one is.</summary>
    public static bool IsWeak(string hash) => Parse(hash) is var (parameters, _, _) && (parameters.MemoryKib < MemoryKib || parameters.Iterations < Iterations);

    async Task<T> RunAsync<T>(Func<T> work, CancellationToken ct)
    {
        if (Interlocked.Increment(ref _waiting) > (MaxWaitingPerCore + 1) * Environment.ProcessorCount)
        {
            Interlocked.Decrement(ref _waiting);
            throw new ProblemException(UserProblems.Busy, retryAfterSeconds: 2);
        }

        try
        {
            await _cores.WaitAsync(ct);
            try
            {
                // A thread of its own: 20 ms on a pool thread would hold up requests that need no hash. Making one costs 0.1 ms.
                return await Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            }
            finally
            {
                _cores.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    static string Hash(string password, Parameters parameters)
    {
        var salt = RandomNumberGenerator.GetBytes(SaltBytes);
        return Format(parameters, salt, Derive(password, salt, parameters, HashBytes));
    }

    static string Format(Parameters parameters, byte[] salt, byte[] hash) => string.Create(CultureInfo.InvariantCulture,
        $"$argon2id$v=19$m={parameters.MemoryKib},t={parameters.Iterations},p=1${Encode(salt)}${Encode(hash)}");

    static bool Verify(string password, string hash)
    {
        var (parameters, salt, expected) = Parse(hash);
        return CryptographicOperations.FixedTimeEquals(Derive(password, salt, parameters, expected.Length), expected);
    }

    static byte[] Derive(string password, byte[] salt, Parameters parameters, int length)
    {
        var bytes = Encoding.UTF8.GetBytes(password.Normalize(NormalizationForm.FormC));
        try
        {
            return PasswordBasedKeyDerivationAlgorithm.Argon2id(new Argon2Parameters
            {
                DegreeOfParallelism = 1,
                MemorySize = parameters.MemoryKib,
                NumberOfPasses = parameters.Iterations,
            }).DeriveBytes(bytes, salt, length);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    static (Parameters Parameters, byte[] Salt, byte[] Hash) Parse(string phc)
    {
        if (phc.Split('$') is ["", "argon2id", "v=19", var costs, var salt, var hash]
            && costs.Split(',') is [['m', '=', .. var m], ['t', '=', .. var t], "p=1"]
            && int.TryParse(m, NumberStyles.None, CultureInfo.InvariantCulture, out var memory) && memory is >= 8 and <= MaxMemoryKib
            && int.TryParse(t, NumberStyles.None, CultureInfo.InvariantCulture, out var passes) && passes is >= 1 and <= MaxIterations)
            return (new Parameters(memory, passes), Decode(salt), Decode(hash));
        throw new InvalidDataException("A stored password hash is not of a form that is known here; set the password anew: tandem user passwd EMAIL.");
    }

    // PHC strings have no padding.
    static string Encode(byte[] bytes) => Convert.ToBase64String(bytes).TrimEnd('=');

    static byte[] Decode(string text) => Convert.FromBase64String(text.PadRight((text.Length + 3) / 4 * 4, '='));

    public void Dispose() => _cores.Dispose();

    readonly record struct Parameters(int MemoryKib, int Iterations);
}
