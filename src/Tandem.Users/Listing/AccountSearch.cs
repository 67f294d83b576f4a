using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Users.Listing;

/// <summary>
/// Finds accounts by their e-mail and name. What matches is taken from an index, up to a bound; a search that finds more, or that no index answers, goes
/// through the texts by id instead, a bounded number for each page.
/// </summary>
sealed class AccountSearch(Db db)
{
    // Matches that are counted and sorted.
    const int Bound = AccountList.MaxSorted;

    // Texts looked at for one page where there is no index; fewer where the account, a much wider row, must be looked at as well.
    const int Looked = 50_000, LookedWithAccounts = 10_000;

    // Accounts whose texts are not written yet are compared one by one.
    const int MaxUnread = 50_000;

    const int SampleSize = 200;

    static readonly TimeSpan SampleLifetime = TimeSpan.FromMinutes(10);

    volatile Sample? _sample;

    bool IsSqlite => db.Engine == "sqlite";

    /// <inheritdoc cref="AccountList.ReadAsync"/>
    public async Task<AccountPage> ReadAsync(ListQuery query, Needle needle, int skip, int limit, CancellationToken ct)
    {
        if (await db.FindAsync<long>($"select count(*) from (select 1 from users_unread {Sql.Page(0, MaxUnread + 1)}) as unread", ct) > MaxUnread)
            throw new ProblemException(UserProblems.SearchNotReady, retryAfterSeconds: 10);
        var match = needle.IsPrefix ? null : await MatchAsync(needle, ct);
        if (query.After is { IsLong: true } after)
            return await LongAsync(query, needle, match is null ? await WalkAsync(query, needle, after.Id, limit + 1, ct) : await FindAsync(query, needle, match, after.Id, limit + 1, ct), 0, limit, ct);

        var window = needle.IsPrefix ? await BeginningsAsync(query, needle, ct)
            : match is null ? await WalkAsync(query, needle, null, Bound + 1, ct)
            : await FindAsync(query, needle, match, null, Bound + 1, ct);
        if (window.IsWhole && window.Found.Count <= Bound)
            return await WholeAsync(query, needle, window.Found, skip, limit, ct);
        if (query.Order != ListOrder.Id)
            throw ListQuery.Bad("sort", $"must be id or -id where q finds more than {Bound} accounts, or is too short for the index and there are many accounts; ask for a longer q");
        if (skip > Bound - limit)
            throw ListQuery.Bad("skip", $"must be at most {Bound - limit} in this list; follow the Link with rel=next instead");
        if (needle.IsPrefix)
            window = await WalkAsync(query, needle, null, skip + limit + 1, ct);
        if (skip > 0 && !window.IsWhole && window.Found.Count <= skip)
            throw ListQuery.Bad("skip", "reaches further than this search has looked; follow the Link with rel=next instead");
        return await LongAsync(query, needle, window, skip, limit, ct);
    }

    /// <summary>All matches are known: they are sorted here.</summary>
    async Task<AccountPage> WholeAsync(ListQuery query, Needle needle, List<Candidate> found, int skip, int limit, CancellationToken ct)
    {
        IComparer<Candidate> order = Comparer<Candidate>.Create((a, b) => (query.IsDescending ? -1 : 1) * Compare(query.Order, a, b));
        found.Sort(order);
        if (query.After is { } after)
        {
            var last = new Candidate(after.Id, after.Key, "", query.Order == ListOrder.CreatedAt ? after.Time : default, default, default);
            skip = found.Count(c => order.Compare(c, last) <= 0);
        }

        var page = await AccountsAsync(needle, found.Skip(skip).Take(limit), ct);
        return new AccountPage(page, found.Count, skip + limit < found.Count && page.Count > 0 ? ListCursor.Behind(page[^1], query) : null);
    }

    /// <summary>Only what lies in front is known, in the order of the id.</summary>
    async Task<AccountPage> LongAsync(ListQuery query, Needle needle, Window window, int skip, int limit, CancellationToken ct)
    {
        var page = window.Found.Skip(skip).Take(limit).ToList();
        var more = window.Found.Count > skip + limit;
        var next = more ? page[^1].Id : window.IsWhole ? (long?)null : window.Last;
        return new AccountPage(await AccountsAsync(needle, page, ct), null, next is { } id ? new ListCursor("", id, IsLong: true) : null);
    }

    static int Compare(ListOrder order, Candidate a, Candidate b)
    {
        var first = order switch
        {
            ListOrder.Email => CompareUtf8(a.Email, b.Email),
            ListOrder.CreatedAt => a.CreatedAt.CompareTo(b.CreatedAt),
            _ => 0,
        };
        return first != 0 ? first : a.Id.CompareTo(b.Id);
    }

    /// <summary>As the engines sort: by the bytes of UTF-8, which is by code point; UTF-16 has those beyond U+FFFF in front of some.</summary>
    static int CompareUtf8(string a, string b)
    {
        for (var i = 0; i < a.Length && i < b.Length; i++)
            if (a[i] != b[i])
                return char.IsSurrogate(a[i]) == char.IsSurrogate(b[i]) ? a[i].CompareTo(b[i]) : char.IsSurrogate(a[i]) ? 1 : -1;
        return a.Length.CompareTo(b.Length);
    }

    /// <summary>The accounts as they are now; one that was deleted or renamed in between is left out.</summary>
    async Task<List<Account>> AccountsAsync(Needle needle, IEnumerable<Candidate> found, CancellationToken ct)
    {
        var ids = found.Select(c => c.Id).ToList();
        if (ids.Count == 0)
            return [];
        // A statement for each of few sizes, not for each number.
        var size = new[] { 1, 10, 100 }.FirstOrDefault(s => s >= ids.Count, ids.Count);
        var list = new Sql(0, 0);
        for (var i = 0; i < size; i++)
            list.Append(i == 0 ? (Sql)$"{ids[0]}" : $", {ids[Math.Min(i, ids.Count - 1)]}");
        var accounts = await db.ListAsync<Account>($"select id, email, name, created_at, is_active, is_administrator from users_accounts where id in ({list})", ct);
        var byId = accounts.Where(a => needle.IsIn(a.Email, SearchText.Fold(a.Name))).ToDictionary(a => a.Id);
        return [.. ids.Where(byId.ContainsKey).Select(id => byId[id])];
    }

    /// <summary>By the index of three characters.</summary>
    Task<Window> FindAsync(ListQuery query, Needle needle, Sql match, long? after, int wanted, CancellationToken ct)
    {
        var (way, behind) = (Sql.Raw(query.IsDescending ? " desc" : ""), Behind(query, after, Sql.Raw("id")));
        var hits = IsSqlite
            ? (Sql)$"select rowid as id from users_trigrams where {match}{Behind(query, after, Sql.Raw("rowid"))} order by rowid{way} {Sql.Page(0, Bound + 1)}"
            : $"select id from users_texts where {match}{behind} order by id{way} {Sql.Page(0, Bound + 1)}";
        return WindowAsync(query, needle, hits, after, Bound + 1, wanted, ct);
    }

    /// <summary>By the indexes on e-mail and name, which know nothing of the order of ids.</summary>
    Task<Window> BeginningsAsync(ListQuery query, Needle needle, CancellationToken ct) => WindowAsync(query, needle, $"""
        select id from (select id from users_accounts where email >= {needle.Email} and email < {End(needle.Email)} {Sql.Page(0, Bound + 1)}) as emails
        union select id from (select id from users_texts where name >= {needle.Name} and name < {End(needle.Name)} {Sql.Page(0, Bound + 1)}) as names
        """, null, Bound + 1, Bound + 1, ct);

    /// <summary>Through the texts, by id.</summary>
    async Task<Window> WalkAsync(ListQuery query, Needle needle, long? after, int wanted, CancellationToken ct)
    {
        var looked = query.HasKinds || query.HasTimes || query.Order == ListOrder.CreatedAt ? LookedWithAccounts : Looked;
        var (way, behind) = (Sql.Raw(query.IsDescending ? " desc" : ""), Behind(query, after, Sql.Raw("id")));
        // Where it ends: with the last text that is looked at, or with the last one there is.
        var ends = await db.ListAsync<long>($"select id from users_texts where true{behind} order by id{way} limit 1 offset {looked - 1}", ct);
        var until = ends is [var end] ? (Sql)$" and t.id {Sql.Raw(query.IsDescending ? ">=" : "<=")} {end}" : Sql.Raw("");
        var found = await CandidatesAsync(query, $"""
            select * from (
                select t.id, t.email, t.name, {Created(query)} as created_at, {Number(Source.Text)} as source, 0 as visited from users_texts t{Accounts(query)}
                where {Compared(needle)}{Behind(query, after, Sql.Raw("t.id"))}{until} and {Where(query)} and not exists (select 1 from users_unread u where u.id = t.id)
                order by t.id{way} {Sql.Page(0, wanted)}) as texts
            """, after, ct);
        var texts = found.Count(c => c.Source == Source.Text);
        // Full: what lies behind the last match was not looked at.
        long? last = texts == wanted ? found.Where(c => c.Source == Source.Text).Select(c => c.Id).Last() : ends is [var fence] ? fence : null;
        return Sorted(query, needle, found, last);
    }

    async Task<Window> WindowAsync(ListQuery query, Needle needle, Sql hits, long? after, int bound, int wanted, CancellationToken ct)
    {
        // What an index on the whole text found need not be compared once more.
        var source = needle.IsPrefix ? Source.Checked : Source.Text;
        var needsTexts = !needle.IsPrefix || query.Order == ListOrder.Email;
        var texts = needsTexts ? (Sql)$" join users_texts t on t.id = h.id" : Sql.Raw("");
        var columns = Sql.Raw(needsTexts ? "t.email, t.name" : "'' as email, '' as name");
        var accounts = NeedsAccounts(query) ? (Sql)$" join users_accounts a on a.id = h.id" : Sql.Raw("");
        var found = await CandidatesAsync(query, $"""
            select h.id, {columns}, {Created(query)} as created_at, {Number(source)} as source, 0 as visited from hits h{texts}{accounts}
            where {Where(query)} and not exists (select 1 from users_unread u where u.id = h.id)
            union all
            select coalesce({Sql.Raw(query.IsDescending ? "min" : "max")}(id), 0), '', '', cast(null as timestamptz), {Number(Source.Summary)}, count(*) from hits
            """, after, ct, hits);
        var summary = found.Single(c => c.Source == Source.Summary);
        found.Remove(summary);
        return Sorted(query, needle, found, summary.Visited == bound ? summary.Id : null);
    }

    /// <summary>With the accounts that have no text yet, in one statement: at one instant an account is either here or there.</summary>
    Task<List<Candidate>> CandidatesAsync(ListQuery query, Sql texts, long? after, CancellationToken ct, Sql? hits = null)
    {
        var with = hits is null ? Sql.Raw("") : $"with hits as materialized ({hits}) ";
        return db.ListAsync<Candidate>($"""
            {with}{texts}
            union all
            select a.id, a.email, a.name, a.created_at, {Number(Source.Account)}, 0 from users_unread u join users_accounts a on a.id = u.id where {query.Where}{Behind(query, after, Sql.Raw("a.id"))}
            """, ct);
    }

    /// <param name="last">The last id that was looked at; null: all there are.</param>
    static Window Sorted(ListQuery query, Needle needle, List<Candidate> candidates, long? last)
    {
        bool IsWithin(long id) => last is not { } end || (query.IsDescending ? id >= end : id <= end);
        var found = candidates.Where(c => c.Source switch
        {
            Source.Checked => true,
            Source.Account => IsWithin(c.Id) && needle.IsIn(c.Email, SearchText.Fold(c.Name)),
            _ => needle.IsIn(c.Email, c.Name),
        }).ToList();
        found.Sort((a, b) => query.IsDescending ? b.Id.CompareTo(a.Id) : a.Id.CompareTo(b.Id));
        return new Window(found, last is null, last ?? 0);
    }

    static bool NeedsAccounts(ListQuery query) => query.HasKinds || query.HasTimes || query.Order == ListOrder.CreatedAt;

    static Sql Accounts(ListQuery query) => NeedsAccounts(query) ? Sql.Raw(" join users_accounts a on a.id = t.id") : Sql.Raw("");

    static Sql Created(ListQuery query) => Sql.Raw(NeedsAccounts(query) ? "a.created_at" : "cast(null as timestamptz)");

    static Sql Where(ListQuery query) => NeedsAccounts(query) ? query.Where : Sql.Raw("true");

    static Sql Behind(ListQuery query, long? after, Sql id) => after is { } known ? $" and {id} {Sql.Raw(query.IsDescending ? "<" : ">")} {known}" : Sql.Raw("");

    // Behind every text that begins so: the last code point there is.
    static string End(string prefix) => prefix + "\U0010FFFF";

    /// <summary>Text compared in the database, by its bytes. The engines share no function for it.</summary>
    Sql Compared(Needle needle)
    {
        if (needle.IsPrefix)
            return $"(t.email >= {needle.Email} and t.email < {End(needle.Email)} or t.name >= {needle.Name} and t.name < {End(needle.Name)})";
        var place = Sql.Raw(IsSqlite ? "instr" : "strpos");
        return $"({place}(t.email, {needle.Email}) > 0 or {place}(t.name, {needle.Name}) > 0)";
    }

    /// <returns>How the index is asked; null when it cannot be.</returns>
    async Task<Sql?> MatchAsync(Needle needle, CancellationToken ct)
    {
        if (!needle.IsIndexed || await db.FindAsync<long>($"select trigrams from users_search_index", ct) == 0)
            return null;
        if (!IsSqlite)
            return $"(email like {Like(needle.Email)} or name like {Like(needle.Name)})";
        var sample = await SampleAsync(ct);
        var words = sample.Rarest(needle.Email);
        if (needle.Name != needle.Email)
            words = $"({words}) OR ({sample.Rarest(needle.Name)})";
        return $"users_trigrams match {words}";
    }

    static string Like(string text) => $"%{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("%", "\\%", StringComparison.Ordinal).Replace("_", "\\_", StringComparison.Ordinal)}%";

    async Task<Sample> SampleAsync(CancellationToken ct)
    {
        if (_sample is { } known && known.MadeAt + SampleLifetime.TotalMilliseconds > Environment.TickCount64)
            return known;
        var (first, last) = await db.FindAsync<(long, long)>($"select coalesce((select min(id) from users_texts), 0), coalesce((select max(id) from users_texts), 0)", ct);
        var texts = new List<string>();
        for (var i = 0; i < SampleSize; i++)
            if (await db.FindAsync<string>($"select email || ' ' || name from users_texts where id >= {first + (long)((last - first) * (i / (double)SampleSize))} order by id {Sql.Page(0, 1)}", ct) is { } text)
                texts.Add(text);
        return _sample = new Sample(texts, Environment.TickCount64);
    }

    static Sql Number(Source source) => Sql.Raw(((int)source).ToString(System.Globalization.CultureInfo.InvariantCulture));

    enum Source
    {
        /// <summary>Texts that are compared once more.</summary>
        Text,
        /// <summary>What is known to match.</summary>
        Checked,
        /// <summary>An account as it is, its name not folded.</summary>
        Account,
        /// <summary>How many the index had, and the last of them.</summary>
        Summary,
    }

    sealed record Candidate(long Id, string Email, string Name, DateTime CreatedAt, Source Source, long Visited);

    /// <param name="Found">What matches, by id, in the direction of the list.</param>
    /// <param name="IsWhole">Nothing lies behind.</param>
    /// <param name="Last">The last id that was looked at, unless it is whole.</param>
    sealed record Window(List<Candidate> Found, bool IsWhole, long Last);

    /// <summary>
    /// Some of the texts, to know what is frequent: the domain that everybody's e-mail has is in a list of millions, and the index need not read it
    /// where a rarer part of the same text finds few. What is then found too much is sorted out by comparing.
    /// </summary>
    sealed record Sample(List<string> Texts, long MadeAt)
    {
        const int Asked = 4;

        public string Rarest(string text)
        {
            var words = Needle.Trigrams(text).Select((word, place) => (word, place, count: Texts.Count(t => t.Contains(word, StringComparison.Ordinal)))).OrderBy(w => w.count).ThenBy(w => w.place).Take(Asked);
            return string.Join(" AND ", words.Select(w => $"\"{w.word.Replace("\"", "\"\"", StringComparison.Ordinal)}\""));
        }
    }
}
