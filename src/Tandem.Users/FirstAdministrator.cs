using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;

namespace Tandem.Users;

/// <summary>Makes the administrator that TANDEM_ADMIN__EMAIL and TANDEM_ADMIN__PASSWORD describe, before the first request is answered.</summary>
/// <remarks>
/// An account that has the e-mail already is left as it is: nobody has proved that the mailbox is theirs, and whoever signed up with it first
/// must not become administrator by a setting.
/// </remarks>
sealed class ConfiguredAdministrator(AdminOptions options, UserTable users, Passwords passwords, TimeProvider clock, ILogger<ConfiguredAdministrator> logger) : IHostedService
{
    /// <exception cref="ConfigurationException">The section is incomplete or not valid; the message never has the password.</exception>
    public static void Check(AdminOptions options)
    {
        if (options is { Email: null, Password: null })
            return;
        if (options.Email is null || options.Password is null)
            throw new ConfigurationException($"Admin:{(options.Email is null ? "Email" : "Password")} is missing; set both or none.");
        foreach (var (field, messages) in JsonFaults.FindInvalid(New(options.Email, options.Password)))
            throw new ConfigurationException($"Admin:{char.ToUpperInvariant(field[0])}{field[1..]} {messages[0]}.");
    }

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (options is not { Email: { } email, Password: { } password })
            return;
        if (await users.FindAsync(email, cancellationToken) is { } existing)
        {
            if (!existing.IsAdministrator)
                logger.AdministratorNotMade(existing.Id);
            return;
        }

        var hash = await passwords.HashAsync(password, cancellationToken);
        // Null: another process with the same settings was faster.
        if (await users.AddAsync(New(email, password), hash, Role.Administrator, clock.UtcNow(), Origin.Operator, "Admin:Email", cancellationToken) is { } account)
            logger.AdministratorMade(account.Id);
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    static NewUser New(string email, string password) => new(email, "Administrator", password);
}

/// <summary>
/// The link that makes the first administrator, printed by a starting server that has none. It is known to whoever sees that terminal and to
/// nobody else: 256 random bits, of which the database has the hash, worth nothing once there is an administrator.
/// </summary>
/// <remarks>In the database, because another process than the one that printed it may be asked.</remarks>
sealed class SetupLink(UserTable users, Db db, TimeProvider clock) : IStartNotice
{
    // Whoever comes later starts a server again and takes the new one: a link in an old log is no key for ever.
    static readonly TimeSpan Lifetime = TimeSpan.FromDays(7);

    public async Task<string?> LineAsync(string address, CancellationToken cancellationToken)
    {
        if (await users.HasAdministratorAsync(cancellationToken))
            return null;
        var (token, now) = (Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32)), clock.UtcNow());
        await db.InTransactionAsync(async tx =>
        {
            await tx.ExecuteAsync($"delete from users_setup_links where created_at < {now - Lifetime}", CancellationToken.None);
            await tx.ExecuteAsync($"insert into users_setup_links (digest, created_at) values ({Digest(token)}, {now})", CancellationToken.None);
        }, cancellationToken);
        return $"first    {address}/setup?token={token} makes the first administrator";
    }

    public async Task<bool> IsOpenAsync(string? token, CancellationToken ct) =>
        await db.FindAsync<long>($"select count(*) from users_setup_links where digest = {Digest(token ?? "")} and created_at > {clock.UtcNow() - Lifetime}", ct) == 1
        && !await users.HasAdministratorAsync(ct);

    static string Digest(string token) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(token)));
}
