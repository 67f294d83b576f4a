using System.Runtime.InteropServices;
using Tandem.Users.Hashes;

namespace Tandem.Tests.Users;

/// <summary>Other programs' hashes, against those programs and against everything that is nearly such a hash.</summary>
[Storeless("Hashes are read and computed; none is stored.")]
public sealed class ForeignHashTests
{
    const string Password = "correct horse";

    public static TheoryData<string> Tools => [.. HashTools.Names];

    [Theory]
    [MemberData(nameof(Tools))]
    public void What_a_program_makes_of_a_password_fits_that_password_and_no_other(string tool)
    {
        Assert.SkipUnless(HashTools.Has(tool), $"{tool} is not installed; ./test does that.");
        // One that fills more than a block of every digest and is cut by bcrypt, one of more bytes than letters, one letter.
        foreach (var password in new[] { Password, "Grüße, 日本 😀", new string('x', 71) + "yz and on beyond every block", "7" })
            foreach (var (name, hash) in HashTools.Make(tool, password))
            {
                Assert.True(StoredHash.TryRead(hash, out var stored, out var fault), $"{name}: {fault}");
                Assert.True(stored.Matches(password), $"{name} of {password}: {hash}");
                Assert.False(stored.Matches(password[..^1]) && password.Length < 72, name);
                Assert.False(stored.Matches("X" + password[1..] + "X"), name);
                // What is stored is one text for each kind, and stays what it is.
                Assert.True(StoredHash.TryRead(stored.Text, out var again, out fault), $"{name}: {stored.Text} {fault}");
                Assert.Equal(stored.Text, again.Text);
                Assert.True(again.Matches(password), $"{name}: {stored.Text}");
            }
    }

    // What the programs said to "correct horse" once, for machines that have none of them; the commands are in HashTools and tests/tools/hashes.py.
    static readonly string[] Samples =
    [
        "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$uL2hQzJmxaz0Tfm2KK6uNjA0+UvbrHBEBwVmJYrNXCE",
        "$argon2id$v=19$m=64,t=2,p=2$c29tZXNhbHQ$yo/Vkf3b04HMhVyO46+irv+0DPX1EnKctcaquTFv6B0",
        "$argon2i$v=19$m=64,t=2,p=2$c29tZXNhbHQ$Rirr4oV2NrL7huBGNahNlDvXgnrk8+FCOKouYO7Gebw",
        "$argon2d$v=16$m=64,t=2,p=2$c29tZXNhbHQ$OUgQ1HZRreF3eSX6tcVg5rA1w6Pyr7I5MrlnSPqdr7I",
        "argon2$argon2id$v=19$m=1024,t=2,p=8$czdVYXFHRU12WHlvUDduVVN0cG13NQ$5wCVBnGZCBfhkxthTeGdqA",
        "$2y$04$DxN1AJQP.T5i57A6XfA6K.egievYUUdhTDbk.fgbmhF26jU1lEqHm",
        "bcrypt$$2b$04$f.ZiyB7GEMzMYbWhjXHnN.64/db/8jwveWKuqRs74cbONLACFSR7C",
        "bcrypt_sha256$$2b$04$gS6.oEEoYvmDF2ylrpZBceRNo2eeGlxaUEe6FsD67MuLdqLQ9vbcG",
        "$wp$2y$04$e7vT8xZDQajOJUMHdBecEe/GKFZ/xyge7VYCLlsR6smazPYpcSVTu",
        "$scrypt$ln=4,r=8,p=1$pXTuXSslZOw9p5Sy9p7zPg$sOSfKXKw7SrgokbyA6zP7Mgr3XIng2LxkSUdtXhlPVQ",
        "scrypt$256$seasalt$8$2$tfo8XeD+DUMA4QQnyd5nfnE+eUCYAyjOTBbVPf/N4h+sVGepMjt1hz8B+kwHnZDQhLiySJjfq5hzXYdRF5vmBQ==",
        "scrypt:256:8:2$seasalt$b5fa3c5de0fe0d4300e10427c9de677e713e7940980328ce4c16d53dffcde21fac5467a9323b75873f01fa4c079d90d084b8b24898dfab98735d8751179be605",
        "pbkdf2_sha256$1000$jbVjr80QyFmzxlsXd0yJ8C$l9BlNpQu+jfIal9irsT6+r0SYv98FwjbGHxhnGiWYk4=",
        "pbkdf2_sha1$1000$I7del2PE8FupHPPD2EEhEr$jLYbuVDXt0Yv3rfE6IK3GPdcBHU=",
        "$pbkdf2$1000$ds45xzgnZAzBGEMIQYgxBg$i04LTG/yhI9QLNE1HPIbB.dQ3gc",
        "$pbkdf2-sha256$1000$GqO0VooRAmBsba11DsE45w$d4Rez4KmCTTJ10f7f.03YpjBqdIdSIrYaQ7xslFQk3E",
        "$pbkdf2-sha512$1000$y5mT8l5rTcmZs5YyJmSs1Q$SroIIRq1rPYylHGA9lp52yfQ..eX7ukEqd5K22ty0pC6IC3l.MtrHLTJTs0aK5uYZ8CLB98rR2L5BlADkI8Udw",
        "pbkdf2:sha256:1000$seasalt$9909ee7926a46fbe3ccea0400b5b6659566c65b8b6ccf1996ab1334c675f9aca",
        "$1$TxLDmI1Y$TdccYJPmrvDmsAF196LKA1",
        "$apr1$AcyEfOF6$YopI9Uh/IsmOaxpI/hImO1",
        "$5$rounds=1500$tQ3MjogHwx8DYQHf$1AVtrHAVNvzDEiKgH8pTsCZiXLk5EvehjWLccisZX0A",
        "$6$rounds=1000$PzVcqpkVKvz4UXWg$LOq1K9VxlqqJXfbBhjUvK1DF1nUOQhsct9F09M8lCEKdCH1ulaJdkO4CZpktXlXEshK6BUZ.1FdcCmmS2K3s40",
        "$P$6RANxFSZ5QlnlBnzps.aD0ygOiP6lo0",
        "$H$6grnMhbY5pYwMqX/LainghRu0EQWGv0",
        "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
        "{MD5}PLTnMmMfR+brlh80VUt83g==",
        "{SSHA}4otM5s55AyrgRRP4tCDMdsiHFZgMIYSw",
        "{SMD5}MnHewizjskzkt21U07CmX5YS4hw=",
        "{SSHA256}ekA9YJnKSUXJJYBT74GBtfhSbUVCrCErhhStbjcidFWk9F7r3RtD6A==",
        "{SSHA512}JUbXmP9o2TbsHZFqkIQrcXyO+7yDHs6JrIavEg340M+BDlHQa7aQMxGgNLr1DyaZgnA+Au7exHroRGI/TtFKkSFEaG3NeY8x",
        "sha1$3caG2MblzHUou1oWP6s36a$b8bd8bfccae908ae52e2b36edb36850d5053c012",
        "md5$LsvIPKEBVyaquyudiQt3J2$27f7041b69f6976fb48e1d3ef7f9c3fb",
        "sha1$$2f9e53523b62abc141a2b4d6019d23cba835dbd0",
        "3cb4e732631f47e6eb961f34554b7cde",
    ];

    // firebase/scrypt's own example: "user1password".
    const string Firebase = "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$42xEC+ixf3L2lw==$"
        + "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==";

    public static TheoryData<string> SampleHashes => [.. Samples];

    [Fact]
    public void Firebases_own_example_fits()
    {
        var stored = StoredHash.Read(Firebase);
        Assert.True(stored.Matches("user1password"));
        Assert.False(stored.Matches("user2password"));
        Assert.False(stored.IsCurrent);
    }

    [Theory]
    [MemberData(nameof(SampleHashes))]
    public void A_hash_fits_no_password_that_is_nearly_the_right_one(string hash)
    {
        var stored = StoredHash.Read(hash);
        Assert.True(stored.Matches(Password));
        Assert.False(stored.IsCurrent);
        string[] others =
        [
            "", " ", Password + " ", " " + Password, Password[..^1], Password[1..], Password.ToUpperInvariant(), Password + Password,
            // bcrypt repeats a short password, HMAC fills one up with zeros, C ends at one.
            Password + "\0", Password + "\0" + Password, Password + "\0\0x", "\0" + Password,
            .. Flips(Password),
        ];
        Assert.All(others, other => Assert.False(stored.Matches(other), $"{hash} took {other}"));
    }

    [Theory]
    [MemberData(nameof(SampleHashes))]
    public void A_hash_that_was_changed_anywhere_is_refused_or_fits_no_longer(string hash)
    {
        var stored = StoredHash.Read(hash).Text;
        var read = 0;
        // Both what is imported and what is stored for it.
        foreach (var text in new[] { hash, stored }.Distinct())
            foreach (var other in Changes(text).Where(c => c != hash && c != stored).Distinct())
            {
                if (!StoredHash.TryRead(other, out var changed, out var fault))
                {
                    Assert.False(string.IsNullOrWhiteSpace(fault));
                    continue;
                }

                // A cost that became a hundred times what it was is another hash at any rate, and takes as long.
                if (changed.Milliseconds > 40)
                    continue;
                read++;
                Assert.False(changed.Matches(Password), $"{text} became {other}, which fits all the same");
            }

        Assert.True(read > 10, $"{hash}: {read}");
    }

    [Fact]
    public void A_changed_hash_of_Firebase_fits_no_longer()
    {
        // Each takes a tenth of a second: one change at every seventh place.
        foreach (var (i, other) in Changes(Firebase).Distinct().Where(c => c != Firebase).Index().Where(c => c.Index % 41 == 0))
            if (StoredHash.TryRead(other, out var changed, out _) && changed.Milliseconds < 200)
                Assert.False(changed.Matches("user1password"), $"{i}: {other}");
    }

    [Fact]
    public void Noise_is_refused_without_an_exception()
    {
        var random = new Random(7);
        string[] starts = ["", "$", "$2b$10$", "$argon2id$v=19$", "$argon2id$v=19$m=64,t=2,p=1$", "$scrypt$ln=4,r=8,p=1$", "scrypt:", "scrypt$", "pbkdf2_sha256$", "$pbkdf2-sha256$i=", "{SSHA}", "$6$", "$P$B", "AQAAAA", "$fbscrypt$v=1,n=14,r=8,p=1,"];
        for (var i = 0; i < 20_000; i++)
        {
            var text = starts[i % starts.Length] + string.Concat(Enumerable.Range(0, random.Next(120)).Select(_ => (char)random.Next(i % 3 == 0 ? 0x250 : 0x7f)));
            if (StoredHash.TryRead(text, out var stored, out _) && stored.Milliseconds < 10)
                stored.Matches(Password);
        }
    }

    [Theory]
    [InlineData("$argon2id$v=19$m=2097152,t=1,p=4$c29tZXNhbHQ$yo/Vkf3b04HMhVyO46+irv+0DPX1EnKctcaquTFv6B0", "has argon2 memory in KiB (m) of more than 262,144")]
    [InlineData("$argon2id$v=19$m=262144,t=5,p=4$c29tZXNhbHQ$yo/Vkf3b04HMhVyO46+irv+0DPX1EnKctcaquTFv6B0", "has argon2 memory times passes (m × t) of more than 1,048,576 KiB")]
    [InlineData("$argon2id$v=19$m=8,t=1,p=4$c29tZXNhbHQ$yo/Vkf3b04HMhVyO46+irv+0DPX1EnKctcaquTFv6B0", "has argon2 memory (m) of less than 8 KiB a lane (p)")]
    [InlineData("$argon2id$v=19$m=64,t=2,p=2$c29tZXNhbHQ$yo/Vkf3b04HMhVyO46+i", "has a hash of 15 bytes where there must be 16 to 64")]
    [InlineData("$2b$16$DxN1AJQP.T5i57A6XfA6K.egievYUUdhTDbk.fgbmhF26jU1lEqHm", "has a bcrypt cost of more than 15")]
    [InlineData("$2x$10$DxN1AJQP.T5i57A6XfA6K.egievYUUdhTDbk.fgbmhF26jU1lEqHm", "is marked $2x$: made by a bcrypt of before 2011 that read other letters than ASCII wrongly")]
    [InlineData("$2b$10$DxN1AJQP.T5i57A6XfA6K/egievYUUdhTDbk.fgbmhF26jU1lEqHm", "has a salt that is not whole")]
    [InlineData("$2b$10$tooshort", "is bcrypt without its cost in two digits and 53 characters of salt and hash")]
    [InlineData("$scrypt$ln=19,r=8,p=1$pXTuXSslZOw9p5Sy9p7zPg$sOSfKXKw7SrgokbyA6zP7Mgr3XIng2LxkSUdtXhlPVQ", "takes more than 256 MiB by its scrypt parameters (128 × N × r)")]
    [InlineData("$scrypt$ln=18,r=8,p=4$pXTuXSslZOw9p5Sy9p7zPg$sOSfKXKw7SrgokbyA6zP7Mgr3XIng2LxkSUdtXhlPVQ", "has scrypt parameters N × r × p of more than 4,194,304")]
    [InlineData("scrypt$255$seasalt$8$2$tfo8XeD+DUMA4QQnyd5nfnE+eUCYAyjOTBbVPf/N4h+sVGepMjt1hz8B+kwHnZDQhLiySJjfq5hzXYdRF5vmBQ==", "has a scrypt cost (N) that is no power of two")]
    [InlineData("pbkdf2_sha256$10000001$salt$l9BlNpQu+jfIal9irsT6+r0SYv98FwjbGHxhnGiWYk4=", "has PBKDF2 iterations of more than 10,000,000")]
    [InlineData("pbkdf2_md5$1000$salt$l9BlNpQu+jfIal9irsT6+r0SYv98FwjbGHxhnGiWYk4=", "is PBKDF2 over another digest than sha1, sha256 and sha512")]
    [InlineData("$6$rounds=1000001$PzVcqpkVKvz4UXWg$LOq1K9VxlqqJXfbBhjUvK1DF1nUOQhsct9F09M8lCEKdCH1ulaJdkO4CZpktXlXEshK6BUZ.1FdcCmmS2K3s40", "has SHA-crypt rounds of more than 1,000,000")]
    [InlineData("$P$JRANxFSZ5QlnlBnzps.aD0ygOiP6lo0", "has PHPass rounds that are not 2^7 to 2^20")]
    [InlineData("{SSHA}L55TUjtiq8FBorTWAZ0jy6g129A=", "has a hash of 20 bytes where there must be 21 to 148")]
    [InlineData("{CRYPT}whatever", "is of no form that is known here")]
    [InlineData("$S$D5yyWYyy5yyWYyy5yyWYyy5yyWYyy5yyWYyy5yyWYyy5yyWYyy5", "is of no form that is known here: $S$")]
    [InlineData("$y$j9T$abc$def", "is of no form that is known here: $y$")]
    [InlineData("not a hash", "holds a character that no hash has")]
    [InlineData("correct-horse", "is of no form that is known here")]
    [InlineData("", "is of no form that is known here")]
    public void What_is_not_taken_is_told_precisely(string hash, string why)
    {
        Assert.False(StoredHash.TryRead(hash, out _, out var fault));
        Assert.Equal(why, fault);
    }

    [Fact]
    public void No_check_takes_more_than_seconds_whatever_the_hash_says()
    {
        // The dearest of each kind that are taken, and what the bounds promise of them.
        foreach (var hash in new[]
        {
            "$2b$13$DxN1AJQP.T5i57A6XfA6K.egievYUUdhTDbk.fgbmhF26jU1lEqHm",
            "$argon2i$v=19$m=262144,t=1,p=4$c29tZXNhbHQ$yo/Vkf3b04HMhVyO46+irv+0DPX1EnKctcaquTFv6B0",
            "$scrypt$ln=18,r=8,p=1$pXTuXSslZOw9p5Sy9p7zPg$sOSfKXKw7SrgokbyA6zP7Mgr3XIng2LxkSUdtXhlPVQ",
            "$6$rounds=1000000$PzVcqpkVKvz4UXWg$LOq1K9VxlqqJXfbBhjUvK1DF1nUOQhsct9F09M8lCEKdCH1ulaJdkO4CZpktXlXEshK6BUZ.1FdcCmmS2K3s40",
            "$P$IRANxFSZ5QlnlBnzps.aD0ygOiP6lo0",
        })
        {
            var stored = StoredHash.Read(hash);
            var started = ThreadTime();
            Assert.False(stored.Matches(Password));
            // The queue's account is within a factor of what it takes.
            Assert.InRange((ThreadTime() - started).TotalMilliseconds, stored.Milliseconds / 10, stored.Milliseconds * 10 + 2000);
        }
    }

    /// <summary>What this thread has had of a processor: a machine that has other things to do adds nothing to it.</summary>
    static TimeSpan ThreadTime()
    {
        const int ThreadProcessorTime = 3; // CLOCK_THREAD_CPUTIME_ID
        Assert.Equal(0, ClockGetTime(ThreadProcessorTime, out var time));
        return TimeSpan.FromSeconds(time.Seconds) + TimeSpan.FromMicroseconds(time.Nanoseconds / 1000.0);
    }

    [DllImport("libc", EntryPoint = "clock_gettime")]
    static extern int ClockGetTime(int clock, out Time time);

    [StructLayout(LayoutKind.Sequential)]
    readonly record struct Time(nint Seconds, nint Nanoseconds);

    static IEnumerable<string> Flips(string text) =>
        from i in Enumerable.Range(0, text.Length) from bit in Enumerable.Range(0, 7) select text[..i] + (char)(text[i] ^ 1 << bit) + text[(i + 1)..];

    static IEnumerable<string> Changes(string text) =>
    [
        .. Flips(text),
        .. Enumerable.Range(0, text.Length).Select(i => text[..i]),
        .. Enumerable.Range(0, text.Length).Select(i => text[..i] + text[(i + 1)..]),
        .. Enumerable.Range(0, text.Length).Select(i => text[..i] + text[i] + text[i..]),
        .. Enumerable.Range(0, text.Length - 1).Select(i => text[..i] + text[i + 1] + text[i] + text[(i + 2)..]),
        .. "=A./0$, \0\n".Select(c => text + c),
        .. "=A./0$, \0\n".Select(c => c + text),
        text + text, text.ToUpperInvariant(), text.ToLowerInvariant(),
    ];
}
