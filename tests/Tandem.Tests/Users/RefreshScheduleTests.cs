using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Data;
using Tandem.Users;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Tests.Users;

/// <summary>
/// The rotation of refresh tokens in every order that its parts can happen in: two tabs that share what they have, an answer that is lost on its way, a thief
/// with a copy, and the clock on either edge of the window. Each order runs against the real sessions on the real store; what must come of it is judged from
/// the history alone, and never by counting generations as the code does.
/// </summary>
public sealed class RefreshScheduleTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static readonly DateTime Start = DateTime.UtcNow is var now ? new DateTime(now.Ticks - now.Ticks % TimeSpan.TicksPerSecond, DateTimeKind.Utc) : default;

    // What each of them does, one letter a step, and each in this order.
    //   A tab: s takes what the tabs have and sends it, x is served, r reads the answer, without which it is lost; a does all three anew.
    //   A thief: c copies what the tabs have, u uses the copy.
    //   The clock: i goes on by the width of the window, to its last instant; o to the first behind it.
    static readonly string[][] Casts =
    [
        .. from first in new[] { "sxra", "sxa" }
           from others in new[] { ("", "i"), ("", "o"), ("", "ii"), ("cu", "i"), ("cu", "o") }
           select new[] { first, "sxr", others.Item1, others.Item2 },
    ];

    [Fact]
    public async Task No_order_of_steps_ends_a_session_inside_the_window_and_every_replay_outside_it_is_caught()
    {
        await using var app = await TestApp.StartAsync();
        var (sessions, grace) = (app.Services.GetRequiredService<Sessions>(), app.Services.GetRequiredService<UsersOptions>().RefreshGrace);
        var account = await app.RegisterAsync(TestUsers.NewEmail());
        var orders = Casts.SelectMany(cast => OrdersOf(cast).Select(order => (Cast: cast, Order: order))).ToList();
        // Of 37,940 orders, so many that differ.
        Assert.Equal(2528, orders.Count);
        // The rules are the same; PostgreSQL is asked about the rows and the transaction.
        if (TestStores.OnPostgres)
            orders = [.. orders.Where((_, i) => i % 3 == 0)];

        var runs = new List<Run>();
        await Parallel.ForEachAsync(orders, new ParallelOptions { MaxDegreeOfParallelism = 64, CancellationToken = Ct }, async (o, ct) =>
        {
            var opened = await sessions.OpenAsync(account, null, TimeSpan.FromMinutes(15), Origin.Operator, Start, ct);
            var run = new Run(sessions, opened!.Id, account, grace, o.Cast, o.Order);
            await run.GoAsync();
            lock (runs)
                runs.Add(run);
        });

        // That the exploration has met what it is about.
        Assert.Contains(runs, r => r.Replays == 0 && r.SameAnswers > 0);
        Assert.Contains(runs, r => r.Replays > 0 && r.Thief);
        Assert.Contains(runs, r => r.Replays == 0 && r.Lost);
        var ended = await app.Db.ListAsync<Guid>($"select id from users_sessions where account_id = {account} and ended_at is not null", Ct);
        Assert.Equal(runs.Where(r => r.Replays > 0).Select(r => r.Id).Order(), ended.Order());
        var trail = app.Services.GetRequiredService<AuditTrail>();
        await trail.SealAsync(Ct);
        Assert.Equal(ended.Count, await app.Db.FindAsync<long>($"select count(*) from users_audit where event = {AuditEvents.RefreshTokenReplayed} and subject_id = {account}", Ct));
    }

    /// <summary>
    /// Every way to interleave the parts: whose step is next. Two neighbouring steps that have nothing in common may as well happen the other way round, and nobody
    /// could tell: of such orders one is enough, the one in which whoever comes first in the cast is first.
    /// </summary>
    static IEnumerable<int[]> OrdersOf(string[] cast)
    {
        return Next(new int[cast.Length], []);

        IEnumerable<int[]> Next(int[] done, int[] order) => cast.Index().All(c => done[c.Index] == c.Item.Length)
            ? [order]
            : Enumerable.Range(0, cast.Length).Where(who => done[who] < cast[who].Length && !IsLate(who, done, order)).SelectMany(who => Next([.. done.Select((d, i) => i == who ? d + 1 : d)], [.. order, who]));

        bool IsLate(int who, int[] done, int[] order) => order is [.., var last] && last > who && !HaveInCommon(Touched(cast[last][done[last] - 1]), Touched(cast[who][done[who]]));

        static bool HaveInCommon(Touches a, Touches b) => a.Server && b.Server || a.Writes && (b.Reads || b.Writes) || b.Writes && a.Reads;
    }

    /// <summary>What a step touches: what the tabs have, and the server, whose answers follow the clock.</summary>
    static Touches Touched(char step) => step switch
    {
        's' or 'c' => new(Reads: true, Writes: false, Server: false),
        'r' => new(Reads: false, Writes: true, Server: false),
        'a' => new(Reads: true, Writes: true, Server: true),
        _ => new(Reads: false, Writes: false, Server: true),
    };

    readonly record struct Touches(bool Reads, bool Writes, bool Server);

    /// <summary>One order, played.</summary>
    sealed class Run(Sessions sessions, Guid id, long account, TimeSpan grace, string[] cast, int[] order)
    {
        // A token is worth something to whoever has it; that it is a number is the code's business.
        readonly List<(int Token, DateTime At, int Answer)> _answered = [];
        readonly int?[] _sent = new int?[3];
        readonly int?[] _answers = new int?[3];
        DateTime _now = Start;
        int _stored;
        bool _hasEnded;

        public Guid Id => id;

        public int Replays { get; private set; }

        public int SameAnswers { get; private set; }

        public bool Thief => cast[2].Length > 0;

        public bool Lost => !cast[0].Contains('r');

        public async Task GoAsync()
        {
            var steps = new int[cast.Length];
            foreach (var who in order)
                await StepAsync(who, cast[who][steps[who]++]);
            if (_answers[2] is not { } stolen)
                return;

            // A thief who has got something is found out as soon as one of the two comes later than the window.
            _now += grace + TimeSpan.FromSeconds(1);
            await ExchangeAsync(_stored);
            _now += grace + TimeSpan.FromSeconds(1);
            await ExchangeAsync(stolen);
            Assert.True(_hasEnded, $"the thief goes on {this}");
        }

        async Task StepAsync(int who, char step)
        {
            switch (step)
            {
                case 's' or 'c':
                    _sent[who] = _stored;
                    break;
                case 'x' or 'u':
                    _answers[who] = await ExchangeAsync(_sent[who]!.Value);
                    break;
                case 'r':
                    Read(_answers[who]);
                    break;
                case 'a':
                    Read(await ExchangeAsync(_stored));
                    break;
                case 'i':
                    _now += grace;
                    break;
                case 'o':
                    _now += grace + TimeSpan.FromMicroseconds(1);
                    break;
                default:
                    throw new ArgumentOutOfRangeException(nameof(step), step, "There is no such step.");
            }
        }

        // What comes late is stored over what came before it: tabs are no cleverer than that.
        void Read(int? answer) => _stored = answer ?? _stored;

        async Task<int?> ExchangeAsync(int token)
        {
            var refresh = await sessions.RefreshAsync(id, token, Origin.Operator, _now, Ct);
            if (_hasEnded)
            {
                Assert.True(refresh is { Session: null, ReplayedAccountId: null }, $"an ended session answers {this}");
                return null;
            }

            var before = _answered.Where(a => a.Token == token).ToList();
            if (IsReplay(before))
            {
                Assert.True(refresh.Session is null && refresh.ReplayedAccountId == account, $"a replay is not caught {this}");
                (_hasEnded, Replays) = (true, Replays + 1);
                return null;
            }

            Assert.True(refresh is { Session: not null, ReplayedAccountId: null }, $"somebody is put out who did nothing wrong {this}");
            var answer = refresh.Session.Generation;
            if (before.Count > 0)
            {
                SameAnswers++;
                Assert.True(before.All(b => b.Answer == answer), $"the same token gets another answer {this}");
            }
            else
                Assert.True(_answered.All(a => a.Answer != answer && a.Token != answer), $"a new answer is one that was there before {this}");
            _answered.Add((token, _now, answer));
            return answer;
        }

        /// <summary>A token was used before, and the one that was given for it as well, or longer ago than the window is wide.</summary>
        bool IsReplay(List<(int Token, DateTime At, int Answer)> before) =>
            before.Count > 0 && (_answered.Any(a => a.Token == before[0].Answer) || _now > before[0].At + grace);

        public override string ToString()
        {
            var steps = new int[cast.Length];
            return $"in {string.Join(' ', order.Select(who => $"{who}{cast[who][steps[who]++]}"))}: answered {string.Join(", ", _answered.Select(a => $"{a.Token} with {a.Answer} after {a.At - Start}"))}, now {_now - Start}";
        }
    }
}
