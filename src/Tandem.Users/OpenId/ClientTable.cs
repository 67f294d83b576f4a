using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Users.Tokens;

namespace Tandem.Users.OpenId;

/// <summary>The clients, and what people have allowed them.</summary>
sealed class ClientTable(Db db, Sessions sessions)
{
    static readonly Sql Columns = Sql.Raw("id, name, secret_hash, redirect_uris, post_logout_redirect_uris, grant_types, scopes, is_trusted, created_at");

    /// <param name="id">As a stranger sent it. PostgreSQL cannot even be asked for U+0000.</param>
    /// <param name="ct">Ends the wait.</param>
    public async Task<Client?> FindAsync(string? id, CancellationToken ct) =>
        string.IsNullOrEmpty(id) || id.Contains('\0') ? null : await db.FindAsync<Client>($"select {Columns} from users_clients where id = {id}", ct);

    /// <returns>A page by id, and how many there are.</returns>
    public async Task<(List<Client> Page, long Total)> ListAsync(int skip, int limit, CancellationToken ct) =>
        (await db.ListAsync<Client>($"select {Columns} from users_clients order by id {Sql.Page(skip, limit)}", ct),
            await db.FindAsync<long>($"select count(*) from users_clients", ct));

    /// <returns>False, with nothing written, when the id is taken.</returns>
    public Task<bool> AddAsync(Client c, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.ExecuteAsync($"""
            insert into users_clients (id, name, secret_hash, redirect_uris, post_logout_redirect_uris, grant_types, scopes, is_trusted, created_at)
            values ({c.Id}, {c.Name}, {c.SecretHash}, {c.RedirectUris}, {c.PostLogoutRedirectUris}, {c.GrantTypes}, {c.Scopes}, {c.IsTrusted}, {c.CreatedAt})
            on conflict (id) do nothing
            """, ct) == 0)
            return false;
        await tx.PublishAsync(new ClientRegistered(c.Id, c.CreatedAt), ct);
        return true;
    }, ct);

    /// <summary>Removes a client and ends every session it has.</summary>
    /// <returns>False when there is no such client.</returns>
    public Task<bool> RemoveAsync(string id, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.ExecuteAsync($"delete from users_clients where id = {id}", ct) == 0)
            return false;
        await tx.ExecuteAsync($"delete from users_consents where client_id = {id}", ct);
        await sessions.EndAsync(tx, $"client_id = {id}", "client removed", now, ct);
        await tx.PublishAsync(new ClientRemoved(id), ct);
        return true;
    }, ct);

    /// <summary>What a person has allowed a client before; empty when nothing.</summary>
    public async Task<string[]> ConsentAsync(long accountId, string clientId, CancellationToken ct) =>
        Client.Words(await db.FindAsync<string>($"select scopes from users_consents where account_id = {accountId} and client_id = {clientId}", ct) ?? "");

    /// <summary>Remembers what a person allows a client, beside what it has allowed before.</summary>
    public async Task AllowAsync(long accountId, string clientId, IEnumerable<string> scopes, DateTime now, CancellationToken ct)
    {
        var all = string.Join(' ', (await ConsentAsync(accountId, clientId, ct)).Union(scopes));
        await db.ChangeAsync<string>($"""
            insert into users_consents (account_id, client_id, scopes, given_at) values ({accountId}, {clientId}, {all}, {now})
            on conflict (account_id, client_id) do update set scopes = excluded.scopes, given_at = excluded.given_at
            returning client_id
            """, new ClientAllowed(accountId, clientId, all), cancellationToken: ct);
    }
}
