using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Users.OpenId;

/// <summary>The clients, and what people have allowed them.</summary>
sealed class ClientTable(Db db, Keys keys, Sessions sessions, AuditTrail trail)
{
    static readonly Sql Columns = Sql.Raw("id, name, secret_hash, redirect_uris, post_logout_redirect_uris, grant_types, scopes, is_trusted, created_at, require_par, backchannel_logout_uri, registration_digest, "
        + "id_token_signed_response_alg");

    /// <param name="id">As a stranger sent it. PostgreSQL cannot even be asked for U+0000.</param>
    /// <param name="ct">Ends the wait.</param>
    public async Task<Client?> FindAsync(string? id, CancellationToken ct) =>
        string.IsNullOrEmpty(id) || id.Contains('\0') ? null : await db.FindAsync<Client>($"select {Columns} from users_clients where id = {id}", ct);

    /// <returns>A page by id, and how many there are.</returns>
    public async Task<(List<Client> Page, long Total)> ListAsync(int skip, int limit, CancellationToken ct) =>
        (await db.ListAsync<Client>($"select {Columns} from users_clients order by id {Sql.Page(skip, limit)}", ct),
            await db.FindAsync<long>($"select count(*) from users_clients", ct));

    /// <returns>False, with nothing written, when the id is taken.</returns>
    public async Task<bool> AddAsync(Client c, Origin origin, CancellationToken ct)
    {
        await PrepareAsync(c.IdTokenSignedResponseAlg, ct);
        return await db.InTransactionAsync(tx => AddAsync(tx, c, origin, ct), ct);
    }

    /// <summary>Adds a client that registers itself.</summary>
    /// <param name="most">As many of these may be; strangers fill no table without end.</param>
    /// <returns>False, with nothing written, when there are as many.</returns>
    public async Task<bool> AddOwnAsync(Client c, int most, Origin origin, CancellationToken ct)
    {
        await PrepareAsync(c.IdTokenSignedResponseAlg, ct);
        return await db.InTransactionAsync(async tx =>
            await tx.FindAsync<long>($"select count(*) from (select 1 from users_clients where registration_digest is not null limit {most}) as own", ct) < most && await AddAsync(tx, c, origin, ct), ct);
    }

    /// <summary>Has the key that only such clients need published before a person signs in to one.</summary>
    async Task PrepareAsync(string? algorithm, CancellationToken ct)
    {
        if (algorithm == NewClient.Rs256)
            await keys.IdentityAsync(ct);
    }

    async Task<bool> AddAsync(Transaction tx, Client c, Origin origin, CancellationToken ct)
    {
        if (await tx.ExecuteAsync($"""
            insert into users_clients ({Columns})
            values ({c.Id}, {c.Name}, {c.SecretHash}, {c.RedirectUris}, {c.PostLogoutRedirectUris}, {c.GrantTypes}, {c.Scopes}, {c.IsTrusted}, {c.CreatedAt}, {c.RequirePar},
                {c.BackchannelLogoutUri}, {c.RegistrationDigest}, {c.IdTokenSignedResponseAlg})
            on conflict (id) do nothing
            """, ct) == 0)
            return false;
        await trail.AddAsync(tx, AuditEvents.ClientRegistered, origin, null, c.CreatedAt, c.Id);
        await tx.PublishAsync(new ClientRegistered(c.Id, c.CreatedAt), ct);
        return true;
    }

    /// <summary>Changes a client. Where it may do less than before, its sessions end: their tokens say more.</summary>
    /// <returns>Null when there is no such client.</returns>
    /// <exception cref="Core.Http.ProblemException">http/invalid (422): the client would not be one that can be registered.</exception>
    public async Task<Client?> ChangeAsync(string id, ClientChange change, DateTime now, Origin origin, CancellationToken ct)
    {
        await PrepareAsync(change.IdTokenSignedResponseAlg, ct);
        return await db.InTransactionAsync(async tx =>
        {
            // Holds the row: what is checked here is what is written.
            if (await tx.FindAsync<Client>($"update users_clients set id = id where id = {id} returning {Columns}", ct) is not { } before)
                return null;
            var after = change.ApplyTo(before);
            if (after == before)
                return before;
            await tx.ExecuteAsync($"""
                update users_clients set name = {after.Name}, redirect_uris = {after.RedirectUris}, post_logout_redirect_uris = {after.PostLogoutRedirectUris},
                    grant_types = {after.GrantTypes}, scopes = {after.Scopes}, is_trusted = {after.IsTrusted}, require_par = {after.RequirePar},
                    backchannel_logout_uri = {after.BackchannelLogoutUri}, id_token_signed_response_alg = {after.IdTokenSignedResponseAlg}
                where id = {id}
                """, ct);
            await trail.AddAsync(tx, AuditEvents.ClientChanged, origin, null, now, id);
            if (Client.Words(before.Scopes).Except(Client.Words(after.Scopes)).Any() || Client.Words(before.GrantTypes).Except(Client.Words(after.GrantTypes)).Any())
                await sessions.EndAsync(tx, $"client_id = {id}", "client changed", origin, now, ct);
            await tx.PublishAsync(new ClientChanged(id), ct);
            return after;
        }, ct);
    }

    /// <summary>Removes a client and ends every session it has.</summary>
    /// <returns>False when there is no such client.</returns>
    public Task<bool> RemoveAsync(string id, DateTime now, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.ExecuteAsync($"delete from users_clients where id = {id}", ct) == 0)
            return false;
        await tx.ExecuteAsync($"delete from users_consents where client_id = {id}", ct);
        await tx.ExecuteAsync($"delete from users_pushed_requests where client_id = {id}", ct);
        await tx.ExecuteAsync($"delete from users_device_codes where client_id = {id}", ct);
        await trail.AddAsync(tx, AuditEvents.ClientRemoved, origin, null, now, id);
        await sessions.EndAsync(tx, $"client_id = {id}", "client removed", origin, now, ct);
        await tx.PublishAsync(new ClientRemoved(id), ct);
        return true;
    }, ct);

    /// <summary>What a person has allowed a client before; empty when nothing.</summary>
    public async Task<string[]> ConsentAsync(long accountId, string clientId, CancellationToken ct) =>
        Client.Words(await db.FindAsync<string>($"select scopes from users_consents where account_id = {accountId} and client_id = {clientId}", ct) ?? "");

    /// <returns>The clients that a person has allowed something or is signed in to, by name; the first two hundred.</returns>
    public Task<List<AllowedClient>> AllowedAsync(long accountId, DateTime now, CancellationToken ct)
    {
        Sql living = $"account_id = {accountId} and client_id is not null and key_digest is null and ended_at is null and expires_at > {now}";
        return db.ListAsync<AllowedClient>($"""
            select c.id, c.name, n.scopes, n.given_at, u.last_used_at
            from (select client_id from users_consents where account_id = {accountId} union select client_id from users_sessions where {living}) w
            join users_clients c on c.id = w.client_id
            left join users_consents n on n.account_id = {accountId} and n.client_id = c.id
            left join (select client_id, max(last_used_at) as last_used_at from users_sessions where {living} group by client_id) u on u.client_id = c.id
            order by c.name, c.id limit 200
            """, ct);
    }

    /// <summary>Takes back what a person has allowed a client, and ends the client's sessions of that person. A code that was just handed out is worth something for another minute at most.</summary>
    /// <returns>False when there was nothing to take back.</returns>
    public Task<bool> TakeBackAsync(long accountId, string clientId, DateTime now, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var consents = await tx.ExecuteAsync($"delete from users_consents where account_id = {accountId} and client_id = {clientId}", ct);
        // A device that was let in and has not come back yet.
        await tx.ExecuteAsync($"delete from users_device_codes where account_id = {accountId} and client_id = {clientId}", ct);
        var ended = await sessions.EndAsync(tx, $"account_id = {accountId} and client_id = {clientId}", "access taken back", origin, now, ct);
        if (consents + ended == 0)
            return false;
        await trail.AddAsync(tx, AuditEvents.ClientTakenBack, origin, accountId, now, clientId);
        return true;
    }, ct);

    /// <summary>Remembers what a person allows a client, beside what it has allowed before.</summary>
    public Task AllowAsync(long accountId, string clientId, IEnumerable<string> scopes, DateTime now, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        // Holds the row: of two answers at once the second adds to the first.
        var before = await tx.FindAsync<string>($"""
            insert into users_consents (account_id, client_id, scopes, given_at) values ({accountId}, {clientId}, {""}, {now})
            on conflict (account_id, client_id) do update set given_at = excluded.given_at
            returning scopes
            """, ct) ?? "";
        var all = string.Join(' ', Client.Words(before).Union(scopes));
        await tx.ExecuteAsync($"update users_consents set scopes = {all} where account_id = {accountId} and client_id = {clientId}", ct);
        await trail.AddAsync(tx, AuditEvents.ClientAllowed, origin, accountId, now, $"{clientId}: {all}");
        await tx.PublishAsync(new ClientAllowed(accountId, clientId, all), ct);
    }, ct);
}

/// <summary>A client that a person has let in.</summary>
/// <param name="Scopes">What it was allowed; null: nothing was asked, it is trusted.</param>
/// <param name="GivenAt">When, UTC.</param>
/// <param name="LastUsedAt">Of its sessions; null: it has none.</param>
sealed record AllowedClient(string Id, string Name, string? Scopes, DateTime? GivenAt, DateTime? LastUsedAt);
