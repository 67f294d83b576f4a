using System.Diagnostics;
using System.Text.Json;
using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Options;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Users;

/// <summary>Hashes of a password as the programs make them that people come from. ./test installs what is run here.</summary>
static class HashTools
{
    /// <summary>Each prints one hash of $P, at a low cost.</summary>
    static readonly (string Name, string Needs, string Command)[] Commands =
    [
        ("htpasswd bcrypt", "htpasswd", """htpasswd -nbB -C 4 u "$P" | cut -d: -f2"""),
        ("htpasswd apr1", "htpasswd", """htpasswd -nbm u "$P" | cut -d: -f2"""),
        ("htpasswd sha1", "htpasswd", """htpasswd -nbs u "$P" | cut -d: -f2"""),
        ("htpasswd sha256", "htpasswd", """htpasswd -nb2 -r 1000 u "$P" | cut -d: -f2"""),
        ("htpasswd sha512", "htpasswd", """htpasswd -nb5 -r 1000 u "$P" | cut -d: -f2"""),
        ("mkpasswd bcrypt", "mkpasswd", """mkpasswd -m bcrypt -R 4 "$P" """),
        ("mkpasswd bcrypt-a", "mkpasswd", """mkpasswd -m bcrypt-a -R 4 "$P" """),
        ("mkpasswd sha512crypt", "mkpasswd", """mkpasswd -m sha512crypt "$P" """),
        ("mkpasswd sha256crypt", "mkpasswd", """mkpasswd -m sha256crypt -R 1234 "$P" """),
        ("mkpasswd md5crypt", "mkpasswd", """mkpasswd -m md5crypt "$P" """),
        ("argon2 id", "argon2", """printf %s "$P" | argon2 somesaltsomesalt -id -t 2 -k 64 -p 1 -e"""),
        ("argon2 id, 2 lanes", "argon2", """printf %s "$P" | argon2 somesalt -id -t 2 -k 64 -p 2 -l 24 -e"""),
        ("argon2 i", "argon2", """printf %s "$P" | argon2 somesalt -i -t 3 -k 65 -p 3 -e"""),
        ("argon2 d", "argon2", """printf %s "$P" | argon2 somesalt -d -t 2 -k 64 -p 1 -e"""),
        ("argon2 i, version 16", "argon2", """printf %s "$P" | argon2 somesalt -i -v 10 -t 2 -k 64 -p 2 -e"""),
        ("php bcrypt", "php", """php -r 'echo password_hash(getenv("P"), PASSWORD_BCRYPT, ["cost" => 4]);'"""),
        ("php argon2id", "php", """php -r 'echo password_hash(getenv("P"), PASSWORD_ARGON2ID, ["memory_cost" => 64, "time_cost" => 2, "threads" => 1]);'"""),
        ("php argon2i", "php", """php -r 'echo password_hash(getenv("P"), PASSWORD_ARGON2I, ["memory_cost" => 64, "time_cost" => 2, "threads" => 1]);'"""),
        // wp_hash_password of WordPress 6.8, line by line.
        ("php WordPress", "php", """php -r 'echo "\$wp" . password_hash(base64_encode(hash_hmac("sha384", trim(getenv("P")), "wp-sha384", true)), PASSWORD_BCRYPT, ["cost" => 4]);'"""),
        ("openssl 1", "openssl", """printf %s "$P" | openssl passwd -1 -stdin"""),
        ("openssl apr1", "openssl", """printf %s "$P" | openssl passwd -apr1 -stdin"""),
        ("openssl 5", "openssl", """printf %s "$P" | openssl passwd -5 -stdin"""),
        ("openssl 6", "openssl", """printf %s "$P" | openssl passwd -6 -stdin"""),
    ];

    /// <summary>Debian's own Python: it has the packages that ./test installs.</summary>
    const string Python = "/usr/bin/python3";

    public static IEnumerable<string> Names => Commands.Select(c => c.Needs).Append("python3").Append("ASP.NET Identity").Distinct();

    /// <summary>Whether the program is there.</summary>
    public static bool Has(string needs) => needs switch
    {
        "ASP.NET Identity" => true,
        "python3" => File.Exists(Python) && Run(Python, ["-c", "import django, passlib, argon2, bcrypt"], "") is (0, _, _),
        _ => Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(p => File.Exists(Path.Combine(p, needs))),
    };

    /// <summary>Every hash that a program makes of the password.</summary>
    public static List<(string Name, string Hash)> Make(string needs, string password) => needs switch
    {
        "python3" => [.. JsonSerializer.Deserialize<Dictionary<string, string>>(Output(Python, [Path.Combine(Repository.Root, "tests/tools/hashes.py"), password], password))!.Select(p => (p.Key, p.Value))],
        "ASP.NET Identity" => [.. Identity(password)],
        _ => [.. Commands.Where(c => c.Needs == needs).Select(c => (c.Name, Output("bash", ["-c", "set -o pipefail; " + c.Command], password).Trim()))],
    };

    static IEnumerable<(string Name, string Hash)> Identity(string password)
    {
        foreach (var (name, options) in new (string, PasswordHasherOptions)[]
        {
            ("V2", new() { CompatibilityMode = PasswordHasherCompatibilityMode.IdentityV2 }),
            ("V3", new() { IterationCount = 1000 }),
        })
            yield return ($"ASP.NET Identity {name}", new PasswordHasher<object>(Options.Create(options)).HashPassword(new object(), password));
    }

    static string Output(string program, string[] args, string password) =>
        Run(program, args, password) is (0, var output, _) ? output : throw new InvalidOperationException($"{program} {string.Join(' ', args)}: {Run(program, args, password)}");

    static (int Code, string Output, string Error) Run(string program, string[] args, string password)
    {
        var start = new ProcessStartInfo(program, args) { RedirectStandardOutput = true, RedirectStandardError = true, Environment = { ["P"] = password, ["LC_ALL"] = "C.UTF-8" } };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }
}
