using Tandem.Core.Http;
using Tandem.Users.Hashes;

namespace Tandem.Users;

/// <summary>
/// Hashes and checks passwords by Argon2id (RFC 9106) with OWASP's parameters: 19 MiB, two passes, one lane; about 20 ms of one core. Hashes that another
/// program made are checked as that program did, and replaced when their owner signs in.
/// </summary>
/// <remarks>
/// What is hashed is the password's UTF-8 as it was sent. It is not brought to a Unicode normal form: without globalization data (as the program
/// is shipped) string.Normalize leaves all but ASCII alone, with it it does not, and a hash must not depend on how a program was published.
/// As many run at once as there are cores; a bounded queue waits, and whoever does not fit gets 503: a flood of sign-ins takes neither all
/// memory nor the threads that answer everybody else.
/// </remarks>
sealed class Passwords : IDisposable
{
    public const int MinLength = 8;
    // Long enough for any phrase, short enough that nobody hashes megabytes here.
    public const int MaxLength = 256;

    // A hash of our own, in the queue's account.
    const double OwnMilliseconds = 20;
    // Two seconds; who is told to come back then waits no longer than who stands in line.
    const double MaxWaitingMillisecondsPerCore = 2000;
    // What one check is counted as at most: the dearest hash must find its way into the queue as well.
    const double MaxCounted = MaxWaitingMillisecondsPerCore / 2;

    readonly SemaphoreSlim _cores = new(Environment.ProcessorCount);
    readonly Lock _queue = new();
    readonly StoredHash _nobodys = Argon2Hash.Nobodys();
    double _waiting;

    /// <returns>The hash in PHC string format.</returns>
    public Task<string> HashAsync(string password, CancellationToken ct) => RunAsync(OwnMilliseconds, () => Argon2Hash.Make(password).Text, ct);

    /// <param name="hash">The stored hash; null for an e-mail that nobody has: then the same work is done for nothing.</param>
    /// <exception cref="InvalidDataException">The stored hash is none that is known here.</exception>
    public async Task<bool> VerifyAsync(string password, string? hash, CancellationToken ct) => (await CheckAsync(password, hash, ct)).IsRight;

    /// <inheritdoc cref="VerifyAsync"/>
    public Task<PasswordCheck> CheckAsync(string password, string? hash, CancellationToken ct)
    {
        var stored = hash is null or StoredHash.None ? _nobodys : Read(hash);
        if (stored.IsCurrent)
            return RunAsync(stored.Milliseconds, () => new PasswordCheck(stored.Matches(password), null), ct);
        // Also for a wrong password: what a quick hash of another program takes is then lost in the work for one of ours, which an e-mail that
        // nobody has takes as well.
        return RunAsync(stored.Milliseconds + OwnMilliseconds, () =>
        {
            var (right, better) = (stored.Matches(password), Argon2Hash.Make(password).Text);
            return new PasswordCheck(right, right ? better : null);
        }, ct);
    }

    /// <summary>True when the hash was made with less work than a new one is, or by another program.</summary>
    public static bool IsWeak(string hash) => !Read(hash).IsCurrent;

    static StoredHash Read(string hash) => StoredHash.TryRead(hash, out var stored, out var fault)
        ? stored
        : throw new InvalidDataException($"A stored password hash {fault}; set the password anew: tandem user passwd EMAIL.");

    async Task<T> RunAsync<T>(double milliseconds, Func<T> work, CancellationToken ct)
    {
        milliseconds = Math.Min(milliseconds, MaxCounted);
        lock (_queue)
        {
            // Beside what waits, what runs: as much as a check of our own on every core.
            if (_waiting + milliseconds > (MaxWaitingMillisecondsPerCore + OwnMilliseconds) * Environment.ProcessorCount)
                throw new ProblemException(UserProblems.Busy, retryAfterSeconds: 2);
            _waiting += milliseconds;
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
            lock (_queue)
                _waiting -= milliseconds;
        }
    }

    public void Dispose() => _cores.Dispose();
}

/// <param name="IsRight">The password is that of the hash.</param>
/// <param name="Better">What to store in its place: a hash as new ones are; null when the stored one is that, or the password was wrong.</param>
readonly record struct PasswordCheck(bool IsRight, string? Better);
