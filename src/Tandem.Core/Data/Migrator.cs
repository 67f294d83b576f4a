using System.Reflection;
using System.Security.Cryptography;
using System.Text;

namespace Tandem.Core.Data;

/// <summary>One SQL file of a module.</summary>
/// <param name="Name">Module and file: <c>users/0001_accounts.sql</c>.</param>
/// <param name="Sql">Its text.</param>
sealed record Migration(string Name, string Sql);

/// <summary>Brings the database to the schema of the program: the modules' SQL files in order, each once, under a lock over all processes.</summary>
abstract class Migrator
{
    /// <summary>The folder of the migrations: <c>Migrations/sqlite</c>.</summary>
    public abstract string Engine { get; }

    /// <param name="migrations">In order.</param>
    /// <param name="derived">What makes the statements for tables that are derived from types; they run behind the migrations.</param>
    /// <param name="wait">A database server that does not answer yet is waited for; an embedded database needs no waiting.</param>
    public abstract void Migrate(IReadOnlyList<Migration> migrations, IReadOnlyList<Func<Schema, string>> derived, bool wait);

    /// <summary>The files for an engine that an assembly embeds.</summary>
    public static IEnumerable<Migration> Embedded(string module, Assembly assembly, string engine)
    {
        var folder = $".Migrations.{engine}.";
        foreach (var resource in assembly.GetManifestResourceNames().Order(StringComparer.Ordinal))
            if (resource.IndexOf(folder, StringComparison.Ordinal) is var at and >= 0)
                using (var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!, Encoding.UTF8)) // listed just above
                    yield return new Migration($"{module}/{resource[(at + folder.Length)..]}", reader.ReadToEnd());
    }

    /// <summary>A number that changes with any of the files: a database that carries it needs none of them.</summary>
    protected static int Version(IReadOnlyList<Migration> migrations) => BitConverter.ToInt32(
        SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\0', migrations.Select(m => m.Name + m.Sql))))) & int.MaxValue;
}

/// <summary>What a database holds and how it calls things, for tables that are derived from types.</summary>
abstract class Schema
{
    /// <summary>The columns of a table with their types in lower case; none when there is no such table.</summary>
    public abstract IReadOnlyDictionary<string, string> Columns(string table);

    /// <summary>Is there a row?</summary>
    public abstract bool HasRows(string table);

    /// <summary>The declaration of a key that the database numbers itself.</summary>
    public abstract string Identity { get; }

    /// <summary>The type of a column that holds values of a CLR type: string, bool, long, double, decimal, DateTime, DateOnly or Guid.</summary>
    public abstract string TypeOf(Type type);

    /// <summary>The type with all that belongs to the column's declaration.</summary>
    public virtual string Declare(Type type) => TypeOf(type);

    /// <summary>The value as it is written in a statement.</summary>
    public abstract string Literal(object value);
}

/// <summary>DbUp says on its own console what the log of the program says already.</summary>
sealed class QuietUpgradeLog : DbUp.Engine.Output.IUpgradeLog
{
    public void LogTrace(string format, params object[] args) { }
    public void LogDebug(string format, params object[] args) { }
    public void LogInformation(string format, params object[] args) { }
    public void LogWarning(string format, params object[] args) { }
    public void LogError(string format, params object[] args) { }
    public void LogError(Exception ex, string format, params object[] args) { }
}
