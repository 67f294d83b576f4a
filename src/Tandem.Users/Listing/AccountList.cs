using Tandem.Core.Data;

namespace Tandem.Users.Listing;

/// <summary>Pages of the accounts, whatever is asked for, at a cost that does not grow with their number.</summary>
sealed class AccountList(Db db, AccountSearch search)
{
    /// <summary>So many matches are counted, and sorted in any order.</summary>
    public const int MaxSorted = 10_000;

    // Entries of an index, and so more than of accounts that must be looked at.
    const int MaxCounted = 100_000;

    // What is further away is looked for from the other end.
    const int Near = 1_000;

    static readonly Sql Columns = Sql.Raw("a.id, a.email, a.name, a.created_at, a.is_active, a.is_administrator");

    /// <returns>A page; how many there are in all, null where they are too many to be counted; and the cursor of the next page, null after the last one.</returns>
    /// <exception cref="Tandem.Core.Http.ProblemException">users/list-parameter: so many are neither sorted nor skipped. users/search-not-ready.</exception>
    public Task<AccountPage> ReadAsync(ListQuery query, int skip, int limit, CancellationToken ct) =>
        query.Needle is { } needle ? search.ReadAsync(query, needle, skip, limit, ct)
        : query.HasTimes ? MadeBetweenAsync(query, skip, limit, ct)
        : CountedAsync(query, skip, limit, ct);

    /// <summary>Of all accounts, and of those of some kind, the number is kept: it is read with the page, in one statement, and so of the same instant.</summary>
    async Task<AccountPage> CountedAsync(ListQuery query, int skip, int limit, CancellationToken ct)
    {
        var total = Total(query);
        Sql statement;
        if (query.Order != ListOrder.Id && (query.HasKinds || skip > Near))
        {
            var about = await db.FindAsync<long>($"select {total}", ct);
            var isFew = query.HasKinds && about <= MaxSorted;
            if (!isFew && skip > Near && skip > about / 2)
                return await FromTheEndAsync(query, skip, limit, ct);
            statement = Page(query, skip, limit, total, isFew);
        }
        else
            statement = query.Order == ListOrder.Id && skip > 0 ? ByBlocks(query, skip, limit, total) : Page(query, skip, limit, total, isFew: false);
        var rows = await db.ListAsync<Listed>(statement, ct);
        return Cut(rows.ConvertAll(r => r.Account), query, limit, rows is [var first, ..] ? first.Total : await db.FindAsync<long>($"select {total}", ct));
    }

    /// <summary>By the index on the time; what it has in common with all others is that it is counted up to a bound only.</summary>
    async Task<AccountPage> MadeBetweenAsync(ListQuery query, int skip, int limit, CancellationToken ct)
    {
        // An index tells the times alone; of anything else the accounts themselves must be looked at.
        var bound = query.HasKinds ? MaxSorted : MaxCounted;
        var counted = await db.FindAsync<long>($"select count(*) from (select 1 from users_accounts a where {query.Where} {Sql.Page(0, bound + 1)}) as found", ct);
        if (counted > MaxSorted && query.Order != ListOrder.CreatedAt)
            throw ListQuery.Bad("sort", $"must be created_at or -created_at where more than {MaxSorted} accounts were made between created_from and created_before");
        if (counted > bound && skip > bound)
            throw ListQuery.Bad("skip", $"must be at most {bound} in this list; follow the Link with rel=next instead");
        var rows = await db.ListAsync<Listed>(Page(query, skip, limit, Sql.Raw("0"), isFew: query.Order != ListOrder.CreatedAt), ct);
        return Cut(rows.ConvertAll(r => r.Account), query, limit, counted > bound ? null : counted);
    }

    /// <summary>One more account than the page has tells whether there is a next one.</summary>
    static AccountPage Cut(List<Account> accounts, ListQuery query, int limit, long? total)
    {
        if (accounts.Count <= limit)
            return new AccountPage(accounts, total, null);
        accounts.RemoveRange(limit, accounts.Count - limit);
        return new AccountPage(accounts, total, ListCursor.Behind(accounts[^1], query));
    }

    static Sql Total(ListQuery query) => $"coalesce((select cast(sum(accounts) as bigint) from users_blocks where level = 2{query.Kinds}), 0)";

    /// <param name="isFew">They are gathered first, by whichever index finds them, and sorted then: along the index of the order all others would be looked at.</param>
    static Sql Page(ListQuery query, int skip, int limit, Sql total, bool isFew)
    {
        var (few, from, where) = isFew
            ? ((Sql)$"with few as materialized (select {Columns} from users_accounts a where {query.Where}) ", Sql.Raw("few"), Sql.Raw("true"))
            : (Sql.Raw(""), Sql.Raw("users_accounts"), query.Where);
        return $"{few}select {Columns}, {total} as total from {from} a where {where}{Behind(query)} order by {By(query, query.IsDescending)} {Sql.Page(skip, limit + 1)}";
    }

    static Sql Behind(ListQuery query)
    {
        var than = Sql.Raw(query.IsDescending ? "<" : ">");
        return (query.After, query.Order) switch
        {
            (null, _) => Sql.Raw(""),
            ({ } after, ListOrder.Id) => $" and a.id {than} {after.Id}",
            ({ } after, ListOrder.Email) => $" and (a.email, a.id) {than} ({after.Key}, {after.Id})",
            ({ } after, _) => $" and (a.created_at, a.id) {than} ({after.Time}, {after.Id})",
        };
    }

    static Sql By(ListQuery query, bool isDescending)
    {
        var way = Sql.Raw(isDescending ? " desc" : "");
        return query.Order switch
        {
            ListOrder.Id => $"a.id{way}",
            ListOrder.Email => $"a.email{way}, a.id{way}",
            _ => $"a.created_at{way}, a.id{way}",
        };
    }

    /// <summary>Goes down from the biggest blocks to the smallest one, in which the page begins, and counts accounts in that alone.</summary>
    static Sql ByBlocks(ListQuery query, int skip, int limit, Sql total)
    {
        var way = Sql.Raw(query.IsDescending ? " desc" : "");
        var begins = query.IsDescending ? (Sql)$"a.id <= (select block from low) * 1024 + 1023" : $"a.id >= (select block from low) * 1024";
        return $"""
            with top as (
                select block, start from (
                    select block, sum(accounts) as accounts, sum(sum(accounts)) over (order by block{way}) - sum(accounts) as start
                    from users_blocks where level = 2{query.Kinds} group by block) as blocks
                where start + accounts > {skip} order by block{way} {Sql.Page(0, 1)}),
            mid as ({Inside("top", 1)}),
            low as ({Inside("mid", 0)})
            select {Columns}, {total} as total from users_accounts a where {begins} and {query.Where}
            order by a.id{way} limit {limit + 1} offset coalesce({skip} - (select cast(start as bigint) from low), 0)
            """;

        Sql Inside(string outer, int level)
        {
            var above = Sql.Raw(outer);
            return $"""
                select block, start from (
                    select block, sum(accounts) as accounts, (select start from {above}) + sum(sum(accounts)) over (order by block{way}) - sum(accounts) as start
                    from users_blocks where level = {Sql.Raw(level == 0 ? "0" : "1")} and block between (select block from {above}) * 64 and (select block from {above}) * 64 + 63{query.Kinds} group by block) as blocks
                where start + accounts > {skip} order by block{way} {Sql.Page(0, 1)}
                """;
        }
    }

    /// <summary>The last pages in an order that has no blocks: the nearer end is that far away only.</summary>
    async Task<AccountPage> FromTheEndAsync(ListQuery query, int skip, int limit, CancellationToken ct)
    {
        // How many lie behind the page, and how many are on it, is counted in the statement that reads it.
        var total = Total(query);
        var rows = await db.ListAsync<Listed>($"""
            with counted as materialized (select {total} as total)
            select {Columns}, (select total from counted) as total from users_accounts a where {query.Where} order by {By(query, !query.IsDescending)}
            limit (select case when total <= {skip} then 0 when total - {skip} < {limit} then total - {skip} else {limit} end from counted)
            offset (select case when total - {skip} > {limit} then total - {skip} - {limit} else 0 end from counted)
            """, ct);
        rows.Reverse();
        var accounts = rows.ConvertAll(r => r.Account);
        var all = rows is [var first, ..] ? first.Total : await db.FindAsync<long>($"select {total}", ct);
        return new AccountPage(accounts, all, accounts.Count > 0 && skip + accounts.Count < all ? ListCursor.Behind(accounts[^1], query) : null);
    }

    /// <summary>A row of a page, with the number of all accounts.</summary>
    sealed record Listed(long Id, string Email, string Name, DateTime CreatedAt, bool IsActive, bool IsAdministrator, long Total)
    {
        public Account Account => new(Id, Email, Name, CreatedAt, IsActive, IsAdministrator);
    }
}

/// <summary>A page of accounts.</summary>
/// <param name="Accounts">In order.</param>
/// <param name="Total">How many there are on all pages; null: too many to be counted.</param>
/// <param name="Next">Where the next page begins; null after the last one. A page that has one may be short.</param>
sealed record AccountPage(List<Account> Accounts, long? Total, ListCursor? Next);
