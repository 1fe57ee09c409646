# Ends everything that works in the folder of a lab, then removes the folder, as soon as the lab is gone.
# The lab holds the other end of our standard input: it closes in whatever way the lab's process ends.
# $1: the folder of the lab   $2: remove | keep
base=$1
case $base in */millpond-lab-*) ;; *) exit 2 ;; esac
trap '' HUP INT TERM
while read -r _; do :; done

ours() { # is $1 the name of a program that the lab starts?
  case $1 in postgres* | postmaster* | initdb* | pg_* | ld-*) return 0 ;; *) return 1 ;; esac
}

# Every process that was started for this lab. A process counts by what it works on and not by its number,
# so a number that was given to somebody else meanwhile is never touched.
found() {
  if [ -d /proc/self/cwd/. ]; then
    for p in /proc/[0-9]*; do
      for d in "$base" "$base"/*/ "$base"/*/data/; do
        if [ "$p/cwd" -ef "$d" ]; then
          name=; read -r name 2>/dev/null <"$p/comm"
          if ours "$name"; then echo "${p#/proc/}"; fi
          break
        fi
      done
    done
  else
    # Servers and tools name the folder in their arguments, and the children of a server have it as parent.
    servers=$(ps -axo pid=,args= | while read -r pid program args; do
      case $args in *"$base/"*) if ours "${program##*/}"; then echo "$pid"; fi ;; esac
    done)
    ps -axo pid=,ppid= | while read -r pid parent; do
      for s in $servers; do
        if [ "$pid" = "$s" ] || [ "$parent" = "$s" ]; then echo "$pid"; break; fi
      done
    done
  fi
}

# The servers among them get the chance to give back their shared memory; what lasts longer is killed.
round=0 empty=0
while [ $empty -lt 2 ]; do
  pids=$(found)
  if [ -z "$pids" ]; then
    empty=$((empty + 1))
  elif [ $round -gt 200 ]; then
    exit 1
  else
    empty=0
    servers=" "
    for f in "$base"/*/data/postmaster.pid; do
      s=; [ -f "$f" ] && read -r s 2>/dev/null <"$f"
      servers="$servers$s "
    done
    for pid in $pids; do
      kill -CONT "$pid" 2>/dev/null
      if [ $round -gt 40 ]; then
        kill -KILL "$pid" 2>/dev/null
      else
        case $servers in *" $pid "*) kill -QUIT "$pid" 2>/dev/null ;; esac
      fi
    done
  fi
  round=$((round + 1))
  sleep 0.02
done

# A server that was killed has left a segment of shared memory. Line 7 of its file says which.
for f in "$base"/*/data/postmaster.pid; do
  [ -f "$f" ] || continue
  { for _ in 1 2 3 4 5 6; do read -r _; done; read -r _ id; } <"$f"
  [ -n "$id" ] && ipcrm -m "$id" 2>/dev/null
done
[ "$2" = keep ] || rm -rf "$base"
