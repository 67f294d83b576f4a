using System.Diagnostics;
using Tandem.Core.Http;
using Tandem.Users;

namespace Tandem.Tests.Users;

[Storeless("Hashes are made and checked; none is stored.")]
public sealed class PasswordTests : IDisposable
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    readonly Passwords _passwords = new();

    [Fact]
    public async Task Only_the_password_itself_fits_its_hash()
    {
        var hash = await _passwords.HashAsync("correct horse", Ct);

        Assert.True(await _passwords.VerifyAsync("correct horse", hash, Ct));
        Assert.False(await _passwords.VerifyAsync("correct horsf", hash, Ct));
        Assert.False(await _passwords.VerifyAsync("", hash, Ct));
        Assert.False(await _passwords.VerifyAsync("correct horse", null, Ct));
        Assert.NotEqual(hash, await _passwords.HashAsync("correct horse", Ct));
    }

    [Fact]
    public async Task A_hash_made_by_another_implementation_is_understood()
    {
        // Made by OpenSSL: ARGON2ID of "password" with salt "somesalt12345678", iter 2, memcost 65536, lanes 1, 24 bytes.
        const string Reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$RMa3rSe9Cv1/HTwRqwWgB/JHc+bjOyfS";

        Assert.True(await _passwords.VerifyAsync("password", Reference, Ct));
        Assert.False(Passwords.IsWeak(Reference));
    }

    [Fact]
    public void A_hash_of_less_work_is_weak()
    {
        Assert.True(Passwords.IsWeak("$argon2id$v=19$m=8192,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$AAAAAAAAAAAAAAAAAAAAAA"));
        Assert.True(Passwords.IsWeak("$argon2id$v=19$m=19456,t=1,p=1$c29tZXNhbHQxMjM0NTY3OA$AAAAAAAAAAAAAAAAAAAAAA"));
        Assert.False(Passwords.IsWeak("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$AAAAAAAAAAAAAAAAAAAAAA"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("-")]
    [InlineData("$2b$10$abcdefghijklmnopqrstuv")]
    [InlineData("$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$AAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("$argon2id$v=19$m=19456,t=99,p=1$c29tZXNhbHQxMjM0NTY3OA$AAAAAAAAAAAAAAAAAAAAAA")]
    public async Task What_is_no_hash_of_ours_is_an_error_and_not_a_wrong_password(string hash) =>
        await Assert.ThrowsAsync<InvalidDataException>(() => _passwords.VerifyAsync("password", hash, Ct));

    [Fact]
    public async Task A_password_is_taken_exactly_as_it_was_sent()
    {
        var hash = await _passwords.HashAsync("Caf\u00e9 au lait ", Ct);

        Assert.True(await _passwords.VerifyAsync("Caf\u00e9 au lait ", hash, Ct));
        foreach (var other in new[] { "Caf\u00e9 au lait", "caf\u00e9 au lait ", "Cafe au lait ", "Cafe\u0301 au lait " })
            Assert.False(await _passwords.VerifyAsync(other, hash, Ct));
    }

    [Fact]
    public async Task A_flood_is_refused_with_503_and_memory_stays_bounded()
    {
        var most = 101 * Environment.ProcessorCount;
        using var stop = new CancellationTokenSource();
        var before = Process.GetCurrentProcess().WorkingSet64;

        var flood = Enumerable.Range(0, most + 500).Select(_ => _passwords.HashAsync("correct horse", stop.Token)).ToList();

        var refused = flood.Where(t => t.IsFaulted).ToList();
        // On a busy machine a few are done before the last are asked for.
        Assert.InRange(refused.Count, 1, 500);
        Assert.All(refused, t => Assert.Equal(("users/busy", 2),
            ((t.Exception!.InnerException as ProblemException)!.Result.Problem.Code, ((ProblemException)t.Exception.InnerException).Result.RetryAfterSeconds)));
        await Task.WhenAny(flood.Except(refused));
        Assert.True(Process.GetCurrentProcess().WorkingSet64 - before < 400L << 20);
        await stop.CancelAsync();
        await Task.WhenAll(flood.Select(t => t.ContinueWith(_ => { }, TaskScheduler.Default)));
        // And then it goes on as if nothing had been.
        await _passwords.HashAsync("correct horse", Ct);
    }

    // A bare MD5 of "correct horse", and an Argon2id of half a second.
    const string Quick = "3cb4e732631f47e6eb961f34554b7cde";
    const string Slow = "$argon2id$v=19$m=262144,t=4,p=1$c29tZXNhbHRzb21lc2FsdA$uL2hQzJmxaz0Tfm2KK6uNjA0+UvbrHBEBwVmJYrNXCE";

    [Fact]
    public async Task A_hash_of_another_program_is_replaced_when_the_password_was_right_and_only_then()
    {
        var right = await _passwords.CheckAsync("correct horse", Quick, Ct);
        Assert.True(right.IsRight);
        Assert.True(await _passwords.VerifyAsync("correct horse", right.Better, Ct));
        Assert.False(Passwords.IsWeak(right.Better!));
        Assert.True(Passwords.IsWeak(Quick));
        Assert.Equal(new PasswordCheck(false, null), await _passwords.CheckAsync("correct horsf", Quick, Ct));
        Assert.Equal(new PasswordCheck(true, null), await _passwords.CheckAsync("correct horse", right.Better, Ct));
        // No password at all.
        Assert.Equal(new PasswordCheck(false, null), await _passwords.CheckAsync("!", "!", Ct));
    }

    [Fact]
    public async Task A_quick_hash_of_another_program_takes_no_less_time_than_an_e_mail_that_nobody_has()
    {
        async Task<double> TimeAsync(string? hash)
        {
            var watch = Stopwatch.StartNew();
            await _passwords.CheckAsync("wrong", hash, Ct);
            return watch.Elapsed.TotalMilliseconds;
        }

        // In turns, and the least of each: on a busy machine some wait for others.
        var (nobody, quick) = (double.MaxValue, double.MaxValue);
        for (var i = 0; i < 12 || i < 200 && (quick / nobody is < 0.5 or > 2); i++)
            (nobody, quick) = (Math.Min(nobody, await TimeAsync(null)), Math.Min(quick, await TimeAsync(Quick)));
        Assert.InRange(quick / nobody, 0.5, 2);
    }

    [Fact]
    public async Task Costly_hashes_fill_the_queue_by_what_they_cost()
    {
        using var stop = new CancellationTokenSource();

        var checks = Enumerable.Range(0, 10 * Environment.ProcessorCount).Select(_ => _passwords.CheckAsync("wrong", Slow, stop.Token)).ToList();

        // Two seconds' worth a core: four of half a second, whatever their number.
        Assert.InRange(checks.Count(c => !c.IsFaulted), 2 * Environment.ProcessorCount, 4 * Environment.ProcessorCount);
        Assert.All(checks.Where(c => c.IsFaulted), c => Assert.Equal("users/busy", ((ProblemException)c.Exception!.InnerException!).Result.Problem.Code));
        await stop.CancelAsync();
        await Task.WhenAll(checks.Select(c => c.ContinueWith(_ => { }, TaskScheduler.Default)));
        await _passwords.HashAsync("correct horse", Ct);
    }

    public void Dispose() => _passwords.Dispose();
}
